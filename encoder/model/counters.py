"""How often a user came: events counted in real time, the older ones for less."""

import math

import torch
from torch import Tensor, nn

from encoder.data.sequences import Sequences
from encoder.data.windows import length_batches, windows
from encoder.model.cells.linear import scan

HALF_LIVES_DAYS = (30.0, 7.0, 1.0)
DIFFERENCE = 2.0  # logarithms of neighbouring counts differ about half as much as counts do from user to user
DAY_MS = 86_400_000
FOREVER_MS = 1e15  # before a first event: nothing is left of a count
# What an event adds to the state: thousands of events are then no larger than what a cell holds, and neither is what
# float32 rounds off. A power of two, so that nothing more is.
EVENT = 2.0**-12
WINDOW, EVENTS = 128, 4_096  # events of a user, and of a batch, that are counted at a time


class Counters(nn.Module):
    """K counts of events, each halved in a time of its own: count(t) = count(t - 1) * 2^(-gap / half life) + 1.

    Cell and traces forget by the event: ten events of a minute and ten of a month leave much the same in them. A count
    is a rate, and how counts differ says whether the user comes less often than before. There is nothing to learn.

    The state is the counts, times EVENT, and what float32 rounds off of them: counting is in float64, for a thousand
    short gaps, each of which float32 would round off alike. A first event (its gap is -1) begins to count, whatever the
    state before it.
    What counters give is the logarithm of the longest lived count, and DIFFERENCE times by how much each other one
    differs from the one before it: how often the user came, and whether more seldom of late. In a log of hours only
    the first of them varies. Each is less its mean in training: around 0, a gradient tells high rates from low ones,
    and does not first have to learn what is usual.
    """

    usual: Tensor  # (K,) float32 mean over events
    rates_per_ms: Tensor  # (K,) float64

    def __init__(self) -> None:
        super().__init__()
        self.width = len(HALF_LIVES_DAYS)
        self.state_width = 2 * self.width
        self.register_buffer("usual", torch.zeros(self.width))
        rates = [math.log(2) / (days * DAY_MS) for days in HALF_LIVES_DAYS]
        self.register_buffer("rates_per_ms", torch.tensor(rates, dtype=torch.float64), persistent=False)

    def step(self, gap_ms: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) int64 gap, (B, 2K) state -> (B, K) what the counters give after the event, (B, 2K) next state."""
        counts = _exact(state) * self._kept(gap_ms) + EVENT
        return self._given(counts), _rounded(counts)

    def sequence(self, gap_ms: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T) int64 gaps, (B, 2K) state -> (B, T, K) what they give after each event, (B, 2K) last state."""
        kept = self._kept(gap_ms)
        counts = scan(kept, torch.full_like(kept, EVENT), _exact(state))
        return self._given(counts), _rounded(counts[:, -1])

    def learn_what_is_usual(self, sequences: Sequences) -> None:
        """Take the mean over all events of the sequences."""
        total = torch.zeros(self.width, dtype=torch.float64)
        for users in length_batches(sequences.lengths, EVENTS, WINDOW):
            state = torch.zeros(len(users), self.state_width)
            for window in windows(sequences, users, WINDOW):
                given, state = self.sequence(torch.from_numpy(window.gap_ms), state[: len(window.gap_ms)])
                total += (given + self.usual)[torch.from_numpy(window.position >= 0)].double().sum(dim=0)
        self.usual.copy_(total / max(1, len(sequences.item)))

    def _kept(self, gap_ms: Tensor) -> Tensor:
        """(...) gaps -> (..., K) float64 share of a count that is left after them."""
        since_ms = torch.where(gap_ms < 0, FOREVER_MS, gap_ms.double())
        return torch.exp(since_ms.unsqueeze(-1) * -self.rates_per_ms)

    def _given(self, counts: Tensor) -> Tensor:
        # No count after an event is below 1. A state that is none of a user's, made up for a check, may be.
        logs = (torch.log(counts.clamp(min=EVENT)) - math.log(EVENT)).float()
        return torch.cat([logs[..., :1], DIFFERENCE * logs.diff(dim=-1)], dim=-1) - self.usual


def _exact(state: Tensor) -> Tensor:
    """(B, 2K) float32 -> (B, K) float64 counts."""
    rounded, rest = state.double().chunk(2, dim=-1)
    return rounded + rest


def _rounded(counts: Tensor) -> Tensor:
    """(B, K) float64 -> (B, 2K) float32: the counts, then what rounding took from them."""
    rounded = counts.float()
    return torch.cat([rounded, (counts - rounded.double()).float()], dim=-1)
