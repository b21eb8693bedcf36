"""What a user did, forgotten at fixed rates: a linear memory beside the cell."""

import torch
from torch import Tensor, nn

from encoder.cells.linear import scan

DECAYS = (0.3, 0.6, 0.9)  # share that an event leaves to the next: memories of about one, three and ten events


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
        states = scan(self.decays.expand(1, inputs.shape[1], -1), self.map(inputs), state)
        return self._sum(states), states[:, -1]

    def _sum(self, traces: Tensor) -> Tensor:
        return torch.stack(traces.chunk(len(DECAYS), dim=-1)).sum(dim=0)
