"""The user model: embeddings, a recurrent cell and a head. Its score of an item is a dot product, nothing else."""

import math

import msgspec
import torch
from torch import Tensor, nn

from encoder.cells import make_cell
from encoder.heads import Heads

_S, _MINUTE, _HOUR, _DAY = 1_000, 60_000, 3_600_000, 86_400_000

# Bucket b holds gaps of at least b boundaries, so bucket 0 is the first event (gap -1). Roughly logarithmic: within a
# visit seconds tell reading from skipping, between visits only the order of magnitude matters.
GAP_BOUNDARIES_MS: tuple[int, ...] = (
    *(0, 2 * _S, 5 * _S, 10 * _S, 20 * _S, 45 * _S),
    *(_MINUTE * m for m in (2, 5, 10, 20, 40)),
    *(_HOUR * h for h in (1, 2, 4, 8, 16)),
    *(_DAY * d for d in (1, 2, 4, 8, 16, 32, 64, 128)),
)

# The head's first output starts as this constant and the items' first component as log popularity over it, so that
# an untrained model ranks by popularity. Both are trained on from there.
PRIOR_SCALE = 4.0


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Shape of a model. width: D, of item vectors, inputs and representation; hidden: of the cell."""

    items: int
    actions: int
    cell: str = "gru"
    layers: int = 1  # of the cell
    width: int = 64
    hidden: int = 64
    dropout: float = 0.2  # share of inputs and of outputs dropped in training
    unknown_share: float = 0.01  # of training inputs whose item or action is hidden, so that "unknown" is trained
    gap_boundaries_ms: tuple[int, ...] = GAP_BOUNDARIES_MS
    heads: bool = False  # of the next action and the time to it, beside the next item


class UserModel(nn.Module):
    """Steps users over events. Item vectors are tied: the same rows are inputs and what representations score against.

    N items, A actions; index 0 of both is "unknown". D, S: widths of representation and state.
    """

    gap_boundaries_ms: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.items = nn.Embedding(config.items + 1, config.width)
        self.actions = nn.Embedding(config.actions + 1, config.width)
        self.gaps = nn.Embedding(len(config.gap_boundaries_ms) + 1, config.width)
        self.cell = make_cell(config.cell, config.width, config.hidden, config.layers)
        self.head = nn.Linear(self.cell.output_width, config.width)
        self.shortcut = nn.Linear(config.width, config.width, bias=False)
        self.following = nn.Embedding(config.items + 1, config.width)
        with torch.random.fork_rng(devices=[]):  # what else is drawn is the same with heads and without
            self.heads = Heads(config.width, config.actions) if config.heads else None
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("gap_boundaries_ms", torch.tensor(config.gap_boundaries_ms, dtype=torch.int64))
        for embedding in (self.items, self.actions, self.gaps):
            nn.init.normal_(embedding.weight, std=1 / math.sqrt(config.width))
        nn.init.zeros_(self.shortcut.weight)
        nn.init.zeros_(self.following.weight)

    def start_from_popularity(self, item_counts: Tensor) -> None:
        """Make the untrained model rank by popularity. item_counts: (N,) training events of items 1..N."""
        log_share = torch.log(item_counts.float() + 1)
        with torch.no_grad():
            self.head.weight[0] = 0.0
            self.head.bias[0] = PRIOR_SCALE
            self.items.weight[0, 0] = 0.0
            self.items.weight[1:, 0] = (log_share - log_share.mean()) / PRIOR_SCALE

    def initial_state(self, batch: int) -> Tensor:
        """(batch, S) float32 state of users without history."""
        return self.cell.initial_state(batch)

    def initial_representation(self, batch: int) -> Tensor:
        """(batch, D) float32 representation of users without history: trained on every user's first event."""
        return self.head.bias.expand(batch, -1)

    def item_vectors(self) -> Tensor:
        """(N, D) float32, row p is item p + 1."""
        return self.items.weight[1:]

    def inputs(self, item: Tensor, action: Tensor, gap_ms: Tensor) -> Tensor:
        """Integer tensors of one shape (...) -> (..., D) inputs of the cell. gap_ms: -1 for a first event."""
        if self.training and self.config.unknown_share > 0:
            item = item * (torch.rand(item.shape, device=item.device) >= self.config.unknown_share)
            action = action * (torch.rand(action.shape, device=action.device) >= self.config.unknown_share)
        bucket = torch.bucketize(gap_ms, self.gap_boundaries_ms, right=True)
        inputs: Tensor = self.dropout(self.items(item) + self.actions(action) + self.gaps(bucket))
        return inputs

    def step(self, item: Tensor, action: Tensor, gap_ms: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) int64 item, action and gap, (B, S) state -> (B, S) next state, (B, D) representation after the event."""
        inputs = self.inputs(item, action, gap_ms)
        output, state = self.cell.step(inputs, state)
        return state, self._representation(output, inputs, item)

    def sequence(self, item: Tensor, action: Tensor, gap_ms: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T) int64 item, action and gap, (B, S) state before them -> (B, T, D) representations after each event,
        (B, S) state after the last."""
        inputs = self.inputs(item, action, gap_ms)
        outputs, state = self.cell.sequence(inputs, state)
        return self._representation(outputs, inputs, item), state

    def _representation(self, output: Tensor, inputs: Tensor, item: Tensor) -> Tensor:
        # What follows the last event comes straight from it, so that the state is free for what came before: a linear
        # map of its inputs for items of any support, and a vector of the item's own, which learns single successors.
        # Both depend on the event alone, so export folds them into its tables.
        from_event: Tensor = self.shortcut(inputs) + self.dropout(self.following(item))
        from_state: Tensor = self.head(self.dropout(output))
        return from_state + from_event
