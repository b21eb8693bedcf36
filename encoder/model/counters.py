"""Counts of a user's events that decay in real time, so that they say how often the user comes."""

import math

import torch
from torch import Tensor, nn

from encoder.data.batches.windows import length_batches, windows
from encoder.data.sequences import Sequences
from encoder.model.operations.parallel_scan import parallel_scan

HALF_LIVES_DAYS = (30.0, 7.0, 1.0)
# Differences between the logarithms of two counts vary about half as much as the logarithms themselves.
DIFFERENCE_SCALE = 2.0
DAY_MS = 86_400_000
FOREVER_MS = 1e15  # the gap before a first event, after which nothing is left of a count
# What one event adds to a count in the state. With this unit, counts of thousands of events are no larger than the
# state of a cell, and rounding errors stay as small. The unit is a power of two, so that it causes no rounding itself.
COUNT_UNIT = 2.0**-12
MAX_STEPS, MAX_PLACES = 128, 4_096  # of the windows over which `fit_means` counts


class Counters(nn.Module):
    """K counts of events with different half-lives: count(t) = count(t - 1) * 2^(-gap / half-life) + 1.

    Cell and traces forget with every event, so ten events within a minute and ten events within a month leave much the
    same state. A count, in contrast, is a rate. The differences between counts say whether the user comes less often
    than before. Counters have nothing to learn.

    The state holds each count times COUNT_UNIT, and the rest that float32 rounds off. Counting is in float64, because
    float32 would round a thousand equal short gaps in the same direction. See docs/decisions.md#counters-in-float64. A
    first event, whose gap is -1, starts new counts whatever the state is.

    The first output is the logarithm of the count with the longest half-life. Each further output is DIFFERENCE_SCALE
    times the difference between the logarithms of a count and of the count before it. The mean over the training events
    is subtracted from each output, so that training does not have to learn the means.
    """

    usual: Tensor  # (K,) float32 mean of each output over the training events
    rates_per_ms: Tensor  # (K,) float64

    def __init__(self) -> None:
        super().__init__()
        self.width = len(HALF_LIVES_DAYS)
        self.state_width = 2 * self.width
        self.register_buffer("usual", torch.zeros(self.width))
        rates = [math.log(2) / (days * DAY_MS) for days in HALF_LIVES_DAYS]
        self.register_buffer("rates_per_ms", torch.tensor(rates, dtype=torch.float64), persistent=False)

    def step(self, gap_ms: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) int64 gaps, (B, 2K) states -> (B, K) outputs after the events, (B, 2K) next states."""
        counts = _counts(state) * self._kept(gap_ms) + COUNT_UNIT
        return self._outputs(counts), _state(counts)

    def sequence(self, gap_ms: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T) int64 gaps, (B, 2K) states -> (B, T, K) outputs after each event, (B, 2K) last states."""
        kept = self._kept(gap_ms)
        counts = parallel_scan(kept, torch.full_like(kept, COUNT_UNIT), _counts(state))
        return self._outputs(counts), _state(counts[:, -1])

    def fit_means(self, sequences: Sequences) -> None:
        """Set `usual` to the means over all events of the sequences."""
        total = torch.zeros(self.width, dtype=torch.float64)
        for users in length_batches(sequences.lengths, MAX_PLACES, MAX_STEPS):
            state = torch.zeros(len(users), self.state_width)
            for window in windows(sequences, users, MAX_STEPS):
                outputs, state = self.sequence(torch.from_numpy(window.gap_ms), state[: len(window.gap_ms)])
                total += (outputs + self.usual)[torch.from_numpy(window.position >= 0)].double().sum(dim=0)
        self.usual.copy_(total / max(1, len(sequences.item)))

    def _kept(self, gap_ms: Tensor) -> Tensor:
        """(...) gaps -> (..., K) float64 shares of the counts that are left after the gaps."""
        since_ms = torch.where(gap_ms < 0, FOREVER_MS, gap_ms.double())
        return torch.exp(since_ms.unsqueeze(-1) * -self.rates_per_ms)

    def _outputs(self, counts: Tensor) -> Tensor:
        # The count of a real user is at least 1 after an event. The random states of a parity check can be lower.
        logs = (torch.log(counts.clamp(min=COUNT_UNIT)) - math.log(COUNT_UNIT)).float()
        return torch.cat([logs[..., :1], DIFFERENCE_SCALE * logs.diff(dim=-1)], dim=-1) - self.usual


def _counts(state: Tensor) -> Tensor:
    """(B, 2K) float32 states -> (B, K) float64 counts."""
    rounded, rest = state.double().chunk(2, dim=-1)
    return rounded + rest


def _state(counts: Tensor) -> Tensor:
    """(B, K) float64 counts -> (B, 2K) float32 states: the rounded counts, followed by the rounding errors."""
    rounded = counts.float()
    return torch.cat([rounded, (counts - rounded.double()).float()], dim=-1)
