"""How often a user came: events counted in real time, the older ones for less."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder.cells.linear import scan
from encoder.sequences import Sequences, batches, windows

HALF_LIVES_DAYS = (1.0, 7.0, 30.0)
DAY_MS = 86_400_000
FOREVER_MS = 1e15  # before a first event: nothing is left of a count
WINDOW, EVENTS = 128, 4_096  # events of a user, and of a batch, that are counted at a time


class Counters(nn.Module):
    """K counts of events, each halved in a time of its own: count(t) = count(t - 1) * 2^(-gap / half life) + 1.

    Cell and traces forget by the event: ten events of a minute and ten of a month leave much the same in them. A count
    is a rate, and how counts differ says whether the user comes less often than before. There is nothing to learn.

    The state is the counts' logarithms, which stay small however many events there are. A first event (its gap is -1)
    begins to count, whatever the state before it. What counters give is the state less its mean in training: around 0,
    a gradient tells a high rate from a low one, and does not first have to learn what is usual.
    """

    usual: Tensor  # (K,) float32 mean of the state after an event
    rates_per_ms: Tensor  # (K,) float32

    def __init__(self) -> None:
        super().__init__()
        self.state_width = len(HALF_LIVES_DAYS)
        self.register_buffer("usual", torch.zeros(self.state_width))
        rates = [math.log(2) / (days * DAY_MS) for days in HALF_LIVES_DAYS]
        self.register_buffer("rates_per_ms", torch.tensor(rates), persistent=False)

    def step(self, gap_ms: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) int64 gap, (B, K) state -> (B, K) next state less the usual one, (B, K) next state."""
        state = functional.softplus(state - self._faded(gap_ms))  # log(exp(state) * kept + 1)
        return state - self.usual, state

    def sequence(self, gap_ms: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T) int64 gaps, (B, K) state -> (B, T, K) states less the usual one after each event, (B, K) the last
        state."""
        kept = torch.exp(-self._faded(gap_ms))
        states = torch.log(scan(kept, torch.ones_like(kept), torch.exp(state)))
        return states - self.usual, states[:, -1]

    def learn_what_is_usual(self, sequences: Sequences) -> None:
        """Take the mean over all events of the sequences."""
        total = torch.zeros(self.state_width, dtype=torch.float64)
        for users in batches(sequences.lengths, EVENTS, WINDOW):
            state = torch.zeros(len(users), self.state_width)
            for window in windows(sequences, users, WINDOW):
                given, state = self.sequence(torch.from_numpy(window.gap_ms), state[: len(window.gap_ms)])
                total += (given + self.usual)[torch.from_numpy(window.position >= 0)].double().sum(dim=0)
        self.usual.copy_(total / max(1, len(sequences.item)))

    def _faded(self, gap_ms: Tensor) -> Tensor:
        """(...) gaps -> (..., K) float32 what they take from the state."""
        since_ms = torch.where(gap_ms < 0, FOREVER_MS, gap_ms.float())
        return since_ms.unsqueeze(-1) * self.rates_per_ms
