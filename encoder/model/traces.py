"""What a user did, forgotten at fixed rates: a linear memory beside the cell."""

import torch
from torch import Tensor, nn

DECAYS = (0.3, 0.6, 0.9)  # share that an event leaves to the next: memories of about one, three and ten events
SMALLEST = 1e-20  # a share below is none: float32 does not see it beside the newest event


class Traces(nn.Module):
    """K sums of all inputs so far, mapped into the representation, each forgetting at a rate of its own.

    trace(t) = decay * trace(t - 1) + W x(t). Items that came again and again, or together, are told by such sums
    better than by a gated state, which must learn to keep them; with item vectors tied to the inputs, a trace scores
    the items of the history themselves. K traces of D numbers are the state, their sum is what they give.
    """

    decays: Tensor

    def __init__(self, input_width: int, output_width: int) -> None:
        super().__init__()
        self.output_width = output_width
        self.state_width = len(DECAYS) * output_width
        self.map = nn.Linear(input_width, self.state_width, bias=False)
        nn.init.zeros_(self.map.weight)  # an untrained model is what it is without
        self.register_buffer("decays", torch.tensor(DECAYS).repeat_interleave(output_width), persistent=False)

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, E) inputs, (B, K·D) state -> (B, D) sum of the traces, (B, K·D) next state."""
        state = self.decays * state + self.map(inputs)
        return self._sum(state), state

    def sequence(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, E) inputs, (B, K·D) state -> (B, T, D) sums after each event, (B, K·D) state after the last."""
        # The rates are fixed, so what each event leaves to each later one is one matrix for all users. The map comes
        # after the sums: it is linear too, and then D numbers of an event pass through them, not K·D.
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
        """(K, T, T) float32 share of event s in the traces after event t, (K, T) of the state before the first."""
        decay = torch.tensor(DECAYS, dtype=torch.float64, device=device)[:, None]
        event = torch.arange(steps + 1, device=device)
        power = decay**event
        power[power < SMALLEST] = 0.0  # numbers below float32's normal ones are slow to multiply
        distance = event[:-1, None] - event[:-1]
        left = torch.where(distance >= 0, power[:, distance.clamp(min=0)], 0.0)
        return left.float(), power[:, 1:].float()

    def _sum(self, traces: Tensor) -> Tensor:
        return torch.stack(traces.chunk(len(DECAYS), dim=-1)).sum(dim=0)
