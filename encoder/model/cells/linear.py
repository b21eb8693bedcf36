"""Cells that are linear in their state, with gates of the inputs alone: trained over all events of a window at once."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder.errors import InputError
from encoder.model.cells.cell import Cell

HEADS, KEYS = 4, 8  # of HGRN2, keys in each head: a state of 8 numbers for each of the output
NORM_EPSILON = 1e-3  # under the variance of outputs of about 1: a norm must not blow up rounding where they are near 0
LONGEST_MEMORY = 4.0  # largest bias of a gate that keeps: at first, 1 / (1 - sigmoid(4)), some 50 events


def scan(keep: Tensor, added: Tensor, state: Tensor) -> Tensor:
    """States h(t) = keep(t) h(t-1) + added(t) of all T steps in about log2(T) passes, by doubling the span of every
    step (Hillis & Steele 1986; Martin & Cundy 2018).

    keep: (B, T, ...) in [0, 1], broadcast against added; added: (B, T, ...); state: (B, ...) before the first step.
    Returns (B, T, ...). Nothing is divided and no logarithm taken, so a product that underflows is a history forgotten
    and no error, over any number of steps.
    """
    first = added[:, :1] + keep[:, :1] * state.unsqueeze(1)
    states = torch.cat([first, added[:, 1:]], dim=1)
    span = 1
    while span < states.shape[1]:
        states = torch.cat([states[:, :span], states[:, span:] + keep[:, span:] * states[:, :-span]], dim=1)
        keep = torch.cat([keep[:, :span], keep[:, span:] * keep[:, :-span]], dim=1)
        span *= 2
    return states


class MinGRUCell(Cell):
    """minGRU (Feng et al. 2024, "Were RNNs all we needed?"): next state = h + z (n - h) with z = sigmoid(W x) and
    n = V x. The state is a moving average, so it stays within the range of n."""

    def __init__(self, input_width: int, hidden: int) -> None:
        super().__init__(input_width, state_width=hidden, output_width=hidden)
        self.map = nn.Linear(input_width, 2 * hidden)  # rows: update, new
        with torch.no_grad():
            self.map.bias[:hidden] = torch.linspace(0.0, -LONGEST_MEMORY, hidden)

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        update, new = self.map(inputs).chunk(2, dim=-1)
        state = state + torch.sigmoid(update) * (new - state)
        return state, state

    def sequence(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        update, new = self.map(inputs).chunk(2, dim=-1)
        states = scan(torch.sigmoid(-update), torch.sigmoid(update) * new, state)
        return states, states[:, -1]


class HGRN2Cell(Cell):
    """HGRN2 (Qin et al. 2024): gated linear attention (Yang et al. 2024) whose key is what its gate lets in.

    A head's state is a matrix M of keys by values: M(t) = diag(f) M(t-1) + (1 - f) v with f = sigmoid(W x), v = V x; it
    is read by the query q = silu(Q x) and normalised over all heads. Tying the key to the gate makes every row of M a
    moving average of v, so the state stays within the range of v however long the history. The model's head is
    the output projection. S = 8H: keys, heads, values, so that one value meets all keys in long runs of memory.
    """

    def __init__(self, input_width: int, hidden: int) -> None:
        super().__init__(input_width, state_width=hidden * KEYS, output_width=hidden)
        if hidden % HEADS:
            raise InputError(f"cell 'hgrn2' has {HEADS} heads: its width {hidden} must be a multiple of that")
        self.values = hidden // HEADS
        self.widths = [KEYS * HEADS, KEYS * HEADS, hidden]  # forget, query, value: the map's rows
        self.map = nn.Linear(input_width, sum(self.widths))
        with torch.no_grad():
            self.map.bias[: KEYS * HEADS] = torch.linspace(0.0, LONGEST_MEMORY, KEYS).repeat_interleave(HEADS)

    def step(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        outputs, state = self.sequence(inputs.unsqueeze(1), state)
        return outputs.squeeze(1), state

    def sequence(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        batch, steps, _ = inputs.shape
        forget, query, value = torch.split(self.map(inputs), self.widths, dim=2)
        forget, query = (part.reshape(batch, steps, KEYS, HEADS, 1) for part in (forget, query))
        value = value.reshape(batch, steps, 1, HEADS, self.values)
        before = state.reshape(batch, KEYS, HEADS, self.values)
        states = scan(torch.sigmoid(forget), torch.sigmoid(-forget) * value, before)
        read = (functional.silu(query) * states).sum(dim=2).flatten(2)
        return functional.layer_norm(read, read.shape[2:], eps=NORM_EPSILON), states[:, -1].flatten(1)
