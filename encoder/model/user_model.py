"""The user model: embeddings, a recurrent cell and a head. Its score of an item is a dot product, nothing else."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder.data.features import BRAND, CATEGORY, PRICE, TIME, Features
from encoder.model.cells import make_cell
from encoder.model.content import Content, WeekHours
from encoder.model.counters import Counters
from encoder.model.heads import Heads
from encoder.model.neighbours import Neighbours
from encoder.model.traces import Traces

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

Reader = Callable[[Tensor, Tensor], Tensor]  # (N + 1, D) table, (n,) rows of it, each once -> (n, D)

NO_FEATURES: Mapping[str, Tensor] = MappingProxyType({})


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Shape of a model. width: D, of item vectors and inputs; hidden: of the cell."""

    items: int
    actions: int
    cell: str = "gru"
    layers: int = 1  # of the cell
    width: int = 64
    hidden: int = 64
    dropout: float = 0.2  # share of inputs and of outputs dropped in training
    unknown_share: float = 0.01  # of training inputs whose item or action is hidden, so that "unknown" is trained
    gap_boundaries_ms: tuple[int, ...] = GAP_BOUNDARIES_MS
    traces: bool = False  # whether sums of the inputs, forgotten at fixed rates, stand beside the cell
    counters: bool = False  # whether representations end in how often the user came
    heads: bool = False  # of the next action and the time to it, beside the next item
    week_hours: bool = False  # whether the hour of the week is an input
    content: tuple[str, ...] = ()  # features of an item that its vector is made of besides its id
    categories: int = 0
    brands: int = 0
    price_boundaries: tuple[float, ...] = ()
    id_dropout: float = 0.1  # share of items, drawn for every step, that are trained as if they were new

    @property
    def features(self) -> tuple[str, ...]:
        """Of encoder.features.EVENT_FEATURES, what a step looks at besides item, action and gap."""
        return (TIME, *self.content) if self.week_hours else self.content


def read_rows(table: Tensor, rows: Tensor) -> Tensor:
    """A `Reader` whose rows have their gradients in the table."""
    return functional.embedding(rows, table)


def directions(items: int, width: int, generator: torch.Generator | None = None) -> Tensor:
    """(items, width) float32 by which the ids of new items differ from that of the unknown item: random ones.

    They tell two new items of one content apart, and let a user's next item be the same again. They have the size of
    untrained ids; the first component, the prior, is left to the content.
    """
    direction = torch.randn(items, width, generator=generator) / math.sqrt(width)
    direction[:, 0] = 0
    return direction


class UserModel(nn.Module):
    """Steps users over events. Item vectors are tied: the same rows are inputs and what representations score against.

    N items, A actions; index 0 of both is "unknown". D, R, S: widths of item vectors, representation and state. The
    first D components of a representation score items; where the model has counters, theirs come after these. Where it
    knows content, an item's vector is that of its id plus that of its features. As an input the unknown item has the
    features that its event names.
    """

    gap_boundaries_ms: Tensor
    item_category: Tensor  # (N + 1,) int64; these three only with content
    item_brand: Tensor  # (N + 1,) int64
    item_price: Tensor  # (N + 1,) float32

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.items = nn.Embedding(config.items + 1, config.width)
        self.actions = nn.Embedding(config.actions + 1, config.width)
        self.gaps = nn.Embedding(len(config.gap_boundaries_ms) + 1, config.width)
        self.cell = make_cell(config.cell, config.width, config.hidden, config.layers)
        self.head = nn.Linear(self.cell.output_width, config.width)
        self.traces = Traces(config.width, config.width) if config.traces else None
        self.shortcut = nn.Linear(config.width, config.width, bias=False)
        self.following = nn.Embedding(config.items + 1, config.width)
        self.counters = Counters() if config.counters else None
        with torch.random.fork_rng(devices=[]):  # what else is drawn is the same with heads and without
            self.heads = Heads(self.representation_width, config.actions) if config.heads else None
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("gap_boundaries_ms", torch.tensor(config.gap_boundaries_ms, dtype=torch.int64))
        self.week_hours = WeekHours(config.width) if config.week_hours else None
        self.content = self._content() if config.content else None
        if self.content is not None:
            unknown = torch.zeros(config.items + 1, dtype=torch.int64)
            self.register_buffer("item_category", unknown)
            self.register_buffer("item_brand", unknown.clone())
            self.register_buffer("item_price", torch.full((config.items + 1,), torch.nan))
        self.neighbours: Neighbours | None = None  # in training
        self.read: Reader = read_rows  # what a step of some items needs
        self._rows: Tensor | None = None  # in training: (n,) items that a step needs, 0 first; None: all N + 1
        self._place: Tensor | None = None  # (N + 1,) place of each item among those
        self._ids_of_step: Tensor | None = None  # (n, D) since the last change: inputs and scores of a step share it
        self._hidden: tuple[Tensor, Tensor] | None = None  # in training: (h,) places of items as new, (h, D) directions
        for embedding in (self.items, self.actions, self.gaps):
            nn.init.normal_(embedding.weight, std=1 / math.sqrt(config.width))
        nn.init.zeros_(self.shortcut.weight)
        nn.init.zeros_(self.following.weight)

    def _content(self) -> Content:
        config = self.config
        return Content(
            config.content,
            config.width,
            categories=config.categories,
            brands=config.brands,
            price_boundaries=config.price_boundaries,
            hidden_share=config.unknown_share,
        )

    def know_items(self, features: Features) -> None:
        """Take over what items are. features: (N + 1,) of every item, from `encoder.features.item_features`."""
        for buffer, name in ((self.item_category, CATEGORY), (self.item_brand, BRAND), (self.item_price, PRICE)):
            buffer.copy_(torch.from_numpy(features[name]))

    def start_from_popularity(self, item_counts: Tensor) -> None:
        """Make the untrained model rank by popularity. item_counts: (N,) training events of items 1..N."""
        log_share = torch.log(item_counts.float() + 1)
        with torch.no_grad():
            self.head.weight[0] = 0.0
            self.head.bias[0] = PRIOR_SCALE
            self.items.weight[0, 0] = 0.0
            self.items.weight[1:, 0] = (log_share - log_share.mean()) / PRIOR_SCALE

    @property
    def state_widths(self) -> list[int]:
        """Of cell, traces and counters, in the order in which they stand in a state; 0 of what the model lacks."""
        beside = [0 if part is None else part.state_width for part in (self.traces, self.counters)]
        return [self.cell.state_width, *beside]

    @property
    def state_width(self) -> int:
        """S."""
        return sum(self.state_widths)

    @property
    def representation_width(self) -> int:
        """R."""
        return self.config.width + (0 if self.counters is None else self.counters.width)

    def initial_state(self, batch: int) -> Tensor:
        """(batch, S) float32 state of users without history."""
        return functional.pad(self.cell.initial_state(batch), (0, sum(self.state_widths[1:])))

    def lean_on(self, neighbours: Neighbours | None) -> None:
        """Let ids lean on their items' neighbours while training; None: take what they gave over into the ids."""
        self.eval()
        if neighbours is None:
            with torch.no_grad():
                self.items.weight.copy_(self._ids())
        self.neighbours = neighbours

    def train(self, mode: bool = True) -> "UserModel":
        """As torch has it; what the last step computed for all items is not used any more."""
        self._rows = self._place = self._ids_of_step = self._hidden = None
        return super().train(mode)

    def initial_representation(self, batch: int) -> Tensor:
        """(batch, R) float32 representation of users without history: trained on every user's first event."""
        if self.counters is None:
            return self.head.bias.expand(batch, -1)
        # Seen as a user whose first event it is.
        return torch.cat([self.head.bias, -self.counters.usual]).expand(batch, -1)

    def begin_step(self, items: Tensor | None = None) -> None:
        """Until the next call, train a share of the items, drawn by chance, as if they were new.

        items: int64 indices, of any shape, of those that the step needs; None: all. With some of them, the item table
        has the rows of these alone, in their order with 0 first: a step costs what it needs, not what the catalogue
        holds.
        """
        self._ids_of_step = self._rows = self._place = None
        count = self.config.items + 1
        if items is not None:
            self._rows = torch.unique(functional.pad(items.flatten(), (1, 0)))
            self._place = self._rows.new_zeros(count)
            self._place[self._rows] = torch.arange(len(self._rows), device=items.device)
            count = len(self._rows)
        if self.content is not None:
            hidden = 1 + torch.nonzero(torch.rand(count - 1) < self.config.id_dropout).flatten()
            self._hidden = hidden, directions(len(hidden), self.config.width)

    def place(self, item: Tensor) -> Tensor:
        """(...) int64 rows of items in the item table, which are their indices unless the step has only some."""
        return item if self._place is None else self._place[item]

    def _ids(self) -> Tensor:
        """(n, D) float32 the part of item vectors that comes from ids."""
        if self._ids_of_step is not None:
            return self._ids_of_step
        ids, rows = self.items.weight, self._rows
        if rows is None:
            ids = ids if self.neighbours is None else self.neighbours(ids)
        else:
            read = partial(self.read, self.items.weight)
            ids = read(rows) if self.neighbours is None else self.neighbours.of_rows(read, rows)
        if self._hidden is not None:
            hidden, direction = self._hidden
            ids = ids.index_copy(0, hidden, ids[0] + direction)
        if ids is not self.items.weight:
            self._ids_of_step = ids
        return ids

    def item_table(self) -> Tensor:
        """(N + 1, D) float32 vectors by item index, or by `place`."""
        ids = self._ids()
        if self.content is None:
            return ids
        features = self._item_features()
        if self._rows is not None:
            features = {name: values[self._rows] for name, values in features.items()}
        content: Tensor = self.content(features)
        return ids + content

    def item_vectors(self) -> Tensor:
        """(N, D) float32, row p is item p + 1; its score is the product with the first D of a representation."""
        return self.item_table()[1:]

    def inputs(self, item: Tensor, action: Tensor, gap_ms: Tensor, features: Mapping[str, Tensor]) -> Tensor:
        """Tensors of one shape (...) -> (..., D) inputs of the cell. gap_ms: -1 for a first event."""
        if self.training and self.config.unknown_share > 0:
            action = action * (torch.rand(action.shape, device=action.device) >= self.config.unknown_share)
        bucket = torch.bucketize(gap_ms, self.gap_boundaries_ms, right=True)
        inputs: Tensor = functional.embedding(self.place(item), self._ids()) + self.actions(action) + self.gaps(bucket)
        if self.content is not None:
            items = self._item_features()
            named = {name: torch.where(item == 0, features[name], items[name][item]) for name in self.config.content}
            inputs = inputs + self.content(named)
        if self.week_hours is not None:
            inputs = inputs + self.week_hours(features[TIME])
        dropped: Tensor = self.dropout(inputs)
        return dropped

    def step(
        self, item: Tensor, action: Tensor, gap_ms: Tensor, state: Tensor, features: Mapping[str, Tensor] = NO_FEATURES
    ) -> tuple[Tensor, Tensor]:
        """(B,) int64 item, action and gap, (B, S) state -> (B, S) next state, (B, R) representation after the event.

        features: (B,) of the event, those of the config.
        """
        item = self._seen(item)
        inputs = self.inputs(item, action, gap_ms, features)
        of_cell, of_traces, of_counters = torch.split(state, self.state_widths, dim=1)
        output, of_cell = self.cell.step(inputs, of_cell)
        representation = self._representation(output, inputs, item)
        if self.traces is not None:
            traced, of_traces = self.traces.step(inputs, of_traces)
            representation = representation + traced
        if self.counters is not None:
            counted, of_counters = self.counters.step(gap_ms, of_counters)
            representation = torch.cat([representation, counted], dim=1)
        return torch.cat([of_cell, of_traces, of_counters], dim=1), representation

    def sequence(
        self, item: Tensor, action: Tensor, gap_ms: Tensor, state: Tensor, features: Mapping[str, Tensor] = NO_FEATURES
    ) -> tuple[Tensor, Tensor]:
        """(B, T) int64 item, action and gap, (B, S) state before them -> (B, T, R) representations after each event,
        (B, S) state after the last. features: (B, T) of the events."""
        item = self._seen(item)
        inputs = self.inputs(item, action, gap_ms, features)
        of_cell, of_traces, of_counters = torch.split(state, self.state_widths, dim=1)
        outputs, of_cell = self.cell.sequence(inputs, of_cell)
        representations = self._representation(outputs, inputs, item)
        if self.traces is not None:
            traced, of_traces = self.traces.sequence(inputs, of_traces)
            representations = representations + traced
        if self.counters is not None:
            counted, of_counters = self.counters.sequence(gap_ms, of_counters)
            representations = torch.cat([representations, counted], dim=2)
        return representations, torch.cat([of_cell, of_traces, of_counters], dim=1)

    def _seen(self, item: Tensor) -> Tensor:
        """The items as a step sees them: in training some are unknown."""
        if self.training and self.config.unknown_share > 0:
            item = item * (torch.rand(item.shape, device=item.device) >= self.config.unknown_share)
        return item

    def _following(self, item: Tensor) -> Tensor:
        if self.training and self._hidden is not None:  # a new item has the unknown item's
            is_old = torch.ones(len(self._ids()), dtype=torch.int64).index_fill(0, self._hidden[0], 0)
            item = item * is_old[self.place(item)]
        if self._rows is None:
            following: Tensor = self.following(item)
            return following
        rows, place = torch.unique(item, return_inverse=True)
        return functional.embedding(place, self.read(self.following.weight, rows))

    def _item_features(self) -> Mapping[str, Tensor]:
        return {CATEGORY: self.item_category, BRAND: self.item_brand, PRICE: self.item_price}

    def _representation(self, output: Tensor, inputs: Tensor, item: Tensor) -> Tensor:
        # What follows the last event comes straight from it, so that the state is free for what came before: a linear
        # map of its inputs for items of any support, and a vector of the item's own, which learns single successors.
        # Both depend on the event alone, so export folds them into its tables.
        from_event: Tensor = self.shortcut(inputs) + self.dropout(self._following(item))
        from_state: Tensor = self.head(self.dropout(output))
        return from_state + from_event
