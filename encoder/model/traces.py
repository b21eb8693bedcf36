"""Traces: sums of a user's inputs that decay at fixed rates. They are a linear memory beside the cell."""

import torch
from torch import Tensor, nn

DECAYS = (0.3, 0.6, 0.9)  # share that is left after an event: memories of about one, three and ten events
SMALLEST_SHARE = 1e-20  # smaller shares count as 0, because float32 cannot add them to the share of the newest event


class Traces(nn.Module):
    """K sums of all inputs, trace(t) = decay * trace(t - 1) + W x(t), each with its own decay.

    Such sums recognise items that repeat or occur together, which a gated state must learn to keep. Item vectors are
    tied to the inputs, so a trace directly scores the items of the history. The state is K traces of width D, and the
    output is the sum of the traces.
    """

    decays: Tensor

    def __init__(self, input_width: int, output_width: int) -> None:
        super().__init__()
        self.output_width = output_width
        self.state_width = len(DECAYS) * output_width
        self.map = nn.Linear(input_width, self.state_width, bias=False)
        nn.init.zeros_(self.map.weight)  # traces have no effect before training
        self.register_buffer("decays", torch.tensor(DECAYS).repeat_interleave(output_width), persistent=False)

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, E) inputs, (B, K·D) states -> (B, D) sums of the traces, (B, K·D) next states."""
        state = self.decays * state + self.map(inputs)
        return self._sum(state), state

    def sequence(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, E) inputs, (B, K·D) states -> (B, T, D) sums after each event, (B, K·D) last states."""
        # The decays are fixed, so one matrix for all users holds the share of each event in each later trace. The map
        # W is linear and can come after the sums, which then add E numbers for each event and not K·D.
        steps = inputs.shape[1]
        left, kept = self._powers(steps, inputs.device)
        summed = torch.einsum("kts,bse->btke", left, inputs)
        weight = self.map.weight.view(len(DECAYS), self.output_width, -1)  # (K, D, E)
        before = state.view(len(state), len(DECAYS), self.output_width)  # (B, K, D)
        sums = torch.einsum("btke,kde->btd", summed, weight) + torch.einsum("kt,bkd->btd", kept, before)
        last = torch.einsum("bke,kde->bkd", summed[:, -1], weight) + kept[:, -1, None] * before
        return sums, last.flatten(1)

    @staticmethod
    def _powers(steps: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """(K, T, T) float32 share of event s in the traces after event t, (K, T) share of the initial state."""
        decay = torch.tensor(DECAYS, dtype=torch.float64, device=device)[:, None]
        event = torch.arange(steps + 1, device=device)
        power = decay**event
        power[power < SMALLEST_SHARE] = 0.0  # multiplication is slow for subnormal numbers of float32
        distance = event[:-1, None] - event[:-1]
        left = torch.where(distance >= 0, power[:, distance.clamp(min=0)], 0.0)
        return left.float(), power[:, 1:].float()

    def _sum(self, traces: Tensor) -> Tensor:
        return torch.stack(traces.chunk(len(DECAYS), dim=-1)).sum(dim=0)
