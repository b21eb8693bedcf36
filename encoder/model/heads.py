"""Heads beside the next item: what a representation tells of the next event's action and of when it comes.

They read the representation from before the event, as the ranking does. The time's distribution, its transformation and
its Jacobian are those of `encoder.time_mixture`; here it is in torch, for training.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder.data.windows import Window
from encoder.metrics.time_mixture import COMPONENTS, MIN_SCALE, OFFSET_S

WIDTH = 32  # of the layer that both heads share
FIRST_MEANS_S = (2.0, 30.0, 3_600.0, 172_800.0)  # of the untrained components: reading, a visit, the same day, days


class Heads(nn.Module):
    """A small network over representations. R: their width, A: known actions, K = COMPONENTS."""

    def __init__(self, width: int, actions: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, WIDTH)
        self.action = nn.Linear(WIDTH, actions + 1)
        self.time = nn.Linear(WIDTH, 3 * COMPONENTS)
        for layer in (self.action, self.time):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.time.bias[COMPONENTS : 2 * COMPONENTS] = torch.log(OFFSET_S + torch.tensor(FIRST_MEANS_S))

    def forward(self, representation: Tensor) -> tuple[Tensor, Tensor]:
        """(B, R) float32 -> (B, A + 1) logits of the next action, 0 is unknown; (B, 3K) numbers of the time."""
        hidden = torch.tanh(self.hidden(representation))
        return self.action(hidden), self.time(hidden)

    def outputs(self, representation: Tensor) -> tuple[Tensor, Tensor]:
        """(B, R) float32 -> (B, A + 1) probabilities of the next action, (B, 3K) mixtures of `encoder.time_mixture`."""
        action, time = self(representation)
        weight, mean, scale = time.chunk(3, dim=1)
        return action.softmax(dim=1), torch.cat([weight.softmax(dim=1), mean, _scale(scale)], dim=1)


def log_likelihood(time: Tensor, gap_s: Tensor, *, is_censored: bool) -> Tensor:
    """(B, 3K) numbers of the time head, (B,) float gaps -> (B,) log-likelihood in nats.

    The log density of the gap, per second; where gaps are censored (a user's next event is not in the log, `gap_s` runs
    from the last one to the log's end) the log of the probability of a longer one.
    """
    weight, mean, scale = time.chunk(3, dim=1)
    weight, scale = weight.log_softmax(dim=1), _scale(scale)
    y = torch.log(OFFSET_S + gap_s)
    z = (y[:, None] - mean) / scale
    kept: Tensor = (weight + torch.special.log_ndtr((mean - math.log(OFFSET_S)) / scale)).logsumexp(dim=1)
    if is_censored:
        survival: Tensor = (weight + torch.special.log_ndtr(-z)).logsumexp(dim=1)
        return survival - kept
    joint = weight - scale.log() - 0.5 * z * z - 0.5 * math.log(2 * math.pi)
    density: Tensor = joint.logsumexp(dim=1)
    return density - y - kept


def heads_loss(heads: Heads, window: Window, before: Tensor, after: Tensor) -> Tensor:
    """Mean loss of a window's events in nats: cross-entropy of an event's action plus negative log-likelihood of its
    gap and, for a user's last event, of the silence after it.

    before, after: (B, T, R) representations before and after each event. A first event has no gap.
    """
    action, gap_ms, censored_gap_ms = (
        torch.from_numpy(part).to(before.device) for part in (window.action, window.gap_ms, window.censored_gap_ms)
    )
    real, last = torch.from_numpy(window.position >= 0).to(before.device), censored_gap_ms >= 0
    timed = gap_ms[real] >= 0
    actions, times = heads(before[real])
    _, silences = heads(after[last])
    loss: Tensor = functional.cross_entropy(actions, action[real], reduction="sum")
    loss = loss - log_likelihood(times[timed], gap_ms[real][timed] / 1000, is_censored=False).sum()
    loss = loss - log_likelihood(silences, censored_gap_ms[last] / 1000, is_censored=True).sum()
    return loss / len(actions)


def _scale(value: Tensor) -> Tensor:
    scale: Tensor = MIN_SCALE + functional.softplus(value)
    return scale
