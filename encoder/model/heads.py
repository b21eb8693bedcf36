"""The heads that predict the action of the next event and the time to the next event, from a representation.

The heads use the representation from before the event, as the ranking of items does. The distribution of the time, the
transformation and the Jacobian are those of `encoder.metrics.time_mixture`. This module computes them in torch for
training.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder.data.batches.windows import Window
from encoder.metrics.time_mixture import COMPONENTS, MIN_SCALE, OFFSET_S

WIDTH = 32  # of the layer that the two heads share
# Share of the events of a step that train the heads. The heads are fitted to more events after the training, and all
# events would take a tenth of the training's time.
TRAINED_SHARE = 0.25
FIRST_MEANS_S = (
    2.0,
    30.0,
    3_600.0,
    172_800.0,
)  # of the untrained components: reading, a visit, the same day, some days


class Heads(nn.Module):
    """A small network over representations of width R. A is the number of known actions, and K = COMPONENTS."""

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
        """(B, R) float32 -> (B, A + 1) logits of the next action, 0 is unknown, (B, 3K) untransformed mixtures."""
        hidden = torch.tanh(self.hidden(representation))
        return self.action(hidden), self.time(hidden)

    def outputs(self, representation: Tensor) -> tuple[Tensor, Tensor]:
        """(B, R) float32 -> (B, A + 1) probabilities of the next action, (B, 3K) mixtures.

        A mixture has the form of `encoder.metrics.time_mixture`.
        """
        action, time = self(representation)
        weight, mean, scale = time.chunk(3, dim=1)
        return action.softmax(dim=1), torch.cat([weight.softmax(dim=1), mean, _scale(scale)], dim=1)


def log_likelihood(time: Tensor, gap_s: Tensor, *, is_censored: bool) -> Tensor:
    """(B, 3K) untransformed mixtures of the time head, (B,) float gaps -> (B,) log-likelihoods in nats.

    The likelihood of a gap is its density per second. A gap is censored when the user's next event is not in the log.
    `gap_s` is then the time from the user's last event to the end of the log, and the likelihood is the probability of
    a longer gap.
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
    """The mean loss in nats of a random share TRAINED_SHARE of a window's events; in evaluation mode, of all events.

    The loss of an event is the cross-entropy of the event's action and the negative log-likelihood of the event's gap.
    A first event has no gap. A user's last event also has the loss of the censored gap after the event. before, after:
    (B, T, R) representations before and after each event.
    """
    action, gap_ms, censored_gap_ms = (
        torch.from_numpy(part).to(before.device) for part in (window.action, window.gap_ms, window.censored_gap_ms)
    )
    chosen = torch.rand(action.shape, device=before.device) < (TRAINED_SHARE if heads.training else 1.0)
    real = torch.from_numpy(window.position >= 0).to(before.device) & chosen
    last = (censored_gap_ms >= 0) & chosen
    has_gap = gap_ms[real] >= 0
    actions, times = heads(before[real])
    _, times_after_last = heads(after[last])
    loss: Tensor = functional.cross_entropy(actions, action[real], reduction="sum")
    loss = loss - log_likelihood(times[has_gap], gap_ms[real][has_gap] / 1000, is_censored=False).sum()
    loss = loss - log_likelihood(times_after_last, censored_gap_ms[last] / 1000, is_censored=True).sum()
    return loss / max(1, len(actions))


def _scale(value: Tensor) -> Tensor:
    scale: Tensor = MIN_SCALE + functional.softplus(value)
    return scale
