"""The user model: embeddings, a recurrent cell and heads. The score of an item is a dot product.

Recent items also have scores of their own.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder.data.features import TIME
from encoder.model.cells import make_cell
from encoder.model.config import ModelConfig
from encoder.model.content import WeekHours
from encoder.model.counters import Counters
from encoder.model.heads import Heads
from encoder.model.item_table import ItemTable
from encoder.model.operations.dropout import Dropout
from encoder.model.recent_items import RecentItems
from encoder.model.traces import Traces

# An untrained model ranks by popularity: the head's first output is this constant, and the first component of an item's
# vector is the log of its popularity, divided by this constant. Training changes both.
PRIOR_SCALE = 4.0

# Sizes of an untrained model's random vectors beside counted ones, and of what an item says of its successors. See
# docs/decisions.md#item-vectors-that-begin-with-counts
NOISE = 0.1
FOLLOWING_SHARE = 0.5

NO_FEATURES: Mapping[str, Tensor] = MappingProxyType({})


class UserModel(ItemTable):
    """Steps the states of users over events.

    N items and A actions; index 0 of both is unknown. D, R and S are the widths of item vectors, of representations and
    of states. The same item vectors are inputs and the vectors against which representations are scored (tied weights).
    The first D components of a representation score items. In a model with counters, the outputs of the counters
    follow. An unknown item has, as an input, the features that its event names. In a model with recent items, an item
    among the user's last distinct items has a score of its own beside the dot product.
    """

    gap_boundaries_ms: Tensor

    def __init__(self, config: ModelConfig) -> None:
        # The order of the parts decides the order of the weights in checkpoints, in optimiser states and in the sum of
        # the gradients' norms, as well as the order of random draws. Changing the order changes trained models.
        super().__init__(config)
        self.actions = nn.Embedding(config.actions + 1, config.width)
        self.gaps = nn.Embedding(len(config.gap_boundaries_ms) + 1, config.width)
        self.cell = make_cell(config.cell, config.width, config.hidden, config.layers)
        self.head = nn.Linear(self.cell.output_width, config.width)
        self.traces = Traces(config.width, config.width) if config.traces else None
        self.shortcut = nn.Linear(config.width, config.width, bias=False)
        self.following = nn.Embedding(config.items + 1, config.width)
        self.counters = Counters() if config.counters else None
        with torch.random.fork_rng(devices=[]):  # other weights are the same with heads and without heads
            self.heads = Heads(self.representation_width, config.actions) if config.heads else None
            self.recent = RecentItems(config.actions) if config.recent_items else None
        self.dropout = Dropout(config.dropout)
        self.register_buffer("gap_boundaries_ms", torch.tensor(config.gap_boundaries_ms, dtype=torch.int64))
        self.week_hours = WeekHours(config.width) if config.week_hours else None
        self._add_content()
        for embedding in (self.items, self.actions, self.gaps):
            nn.init.normal_(embedding.weight, std=1 / math.sqrt(config.width))
        nn.init.zeros_(self.shortcut.weight)
        nn.init.zeros_(self.following.weight)

    def initialize_popularity(self, item_counts: Tensor) -> None:
        """Make an untrained model rank by popularity. item_counts: (N,) training events of items 1 to N."""
        log_share = torch.log(item_counts.float() + 1)
        with torch.no_grad():
            self.head.weight[0] = 0.0
            self.head.bias[0] = PRIOR_SCALE
            self.items.weight[0, 0] = 0.0
            self.items.weight[1:, 0] = (log_share - log_share.mean()) / PRIOR_SCALE

    def initialize_vectors(self, first: Tensor, second: Tensor) -> None:
        """Make an untrained model rank by what followed an item in the log.

        first, second: (N + 1, D - 1) float32 from `encoder.model.item_pairs.pair_vectors`. The first component of an
        item's vector is left to its popularity. The random vectors stay as a little noise.
        """
        with torch.no_grad():
            self.items.weight[1:, 1:] = second[1:] + NOISE * self.items.weight[1:, 1:]
            self.following.weight[1:, 1:] = FOLLOWING_SHARE * first[1:]

    @property
    def state_widths(self) -> list[int]:
        """The widths of the states of cell, traces, counters and recent items, in this order. A missing part has 0."""
        optional = [0 if part is None else part.state_width for part in (self.traces, self.counters, self.recent)]
        return [self.cell.state_width, *optional]

    @property
    def recurrent_width(self) -> int:
        """The width of the states of cell, traces and counters, which stand first in a state."""
        return sum(self.state_widths[:-1])

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

    def initial_recurrent_state(self, batch: int) -> Tensor:
        """(batch, recurrent_width) float32, the first part of `initial_state`."""
        return self.initial_state(batch)[:, : self.recurrent_width]

    def initial_representation(self, batch: int) -> Tensor:
        """(batch, R) float32 representation of users without history. Every user's first event trains it."""
        if self.counters is None:
            return self.head.bias.expand(batch, -1)
        # The counters have the output of a user whose first event happens now.
        return torch.cat([self.head.bias, -self.counters.usual]).expand(batch, -1)

    def scale_scores(self, scale: float) -> None:
        """Multiply all dot products with item vectors by `scale`. The heads' outputs stay as they are."""
        maps = [self.head.weight, self.head.bias, self.shortcut.weight, self.following.weight]
        if self.traces is not None:
            maps.append(self.traces.map.weight)
        with torch.no_grad():
            for weight in maps:
                weight *= scale
            if self.heads is not None:
                self.heads.hidden.weight[:, : self.config.width] /= scale
        if self.recent is not None:
            self.recent.scale *= scale

    def scale_all_scores(self, scale: float) -> None:
        """Multiply dot products and what recent items add by `scale`. Ranks stay as they are."""
        self.scale_scores(scale)
        if self.recent is not None:
            for numbers in (self.recent.place, self.recent.action, self.recent.age, self.recent.count):
                numbers *= scale

    def inputs(self, item: Tensor, action: Tensor, gap_ms: Tensor, features: Mapping[str, Tensor]) -> Tensor:
        """Item, action, gap and features of events, all of one shape (...) -> (..., D) inputs of the cell.

        gap_ms: -1 for a first event.
        """
        if self.training and self.config.unknown_share > 0:
            action = action * (torch.rand(action.shape, device=action.device) >= self.config.unknown_share)
        bucket = torch.bucketize(gap_ms, self.gap_boundaries_ms, right=True)
        ids: Tensor = functional.embedding(self.table_rows(item), self._ids())
        inputs: Tensor = ids + self.actions(action) + self.gaps(bucket)
        if self.content is not None:
            known = self._item_features()
            values = {name: torch.where(item == 0, features[name], known[name][item]) for name in self.config.content}
            inputs = inputs + self.content(values)
        if self.embeddings is not None:  # an event has no embedding, so an unknown item adds zero
            inputs = inputs + self.embeddings(item)
        if self.week_hours is not None:
            inputs = inputs + self.week_hours(features[TIME])
        dropped: Tensor = self.dropout(inputs)
        return dropped

    def step(
        self, item: Tensor, action: Tensor, gap_ms: Tensor, state: Tensor, features: Mapping[str, Tensor] = NO_FEATURES
    ) -> tuple[Tensor, Tensor]:
        """Step each user over one event.

        item, action, gap_ms: (B,) int64. state: (B, S). features: (B,) each, those of `config.features`. Returns the
        next states (B, S) and the representations after the events (B, R).
        """
        item = self._hide_some(item)
        inputs = self.inputs(item, action, gap_ms, features)
        cell_state, traces_state, counters_state, recent_state = torch.split(state, self.state_widths, dim=1)
        output, cell_state = self.cell.step(inputs, cell_state)
        representation = self._representation(output, inputs, item)
        if self.traces is not None:
            traced, traces_state = self.traces.step(inputs, traces_state)
            representation = representation + traced
        if self.recent is not None:
            recent_state = self.recent.step(item, action, gap_ms, recent_state)
        if self.counters is not None:
            counted, counters_state = self.counters.step(gap_ms, counters_state)
            representation = torch.cat([representation, counted], dim=1)
        return torch.cat([cell_state, traces_state, counters_state, recent_state], dim=1), representation

    def sequence(
        self, item: Tensor, action: Tensor, gap_ms: Tensor, state: Tensor, features: Mapping[str, Tensor] = NO_FEATURES
    ) -> tuple[Tensor, Tensor]:
        """Step each user over T events.

        item, action, gap_ms: (B, T) int64. state: (B, recurrent_width) before the events. features: (B, T) each, those
        of `config.features`. Returns the representations after each event (B, T, R), and the last recurrent states. The
        recent items depend on no weights: `encoder.data.recent_items` has them for all events at once.
        """
        item = self._hide_some(item)
        inputs = self.inputs(item, action, gap_ms, features)
        cell_state, traces_state, counters_state = torch.split(state, self.state_widths[:-1], dim=1)
        outputs, cell_state = self.cell.sequence(inputs, cell_state)
        representations = self._representation(outputs, inputs, item)
        if self.traces is not None:
            traced, traces_state = self.traces.sequence(inputs, traces_state)
            representations = representations + traced
        if self.counters is not None:
            counted, counters_state = self.counters.sequence(gap_ms, counters_state)
            representations = torch.cat([representations, counted], dim=2)
        return representations, torch.cat([cell_state, traces_state, counters_state], dim=1)

    def _hide_some(self, item: Tensor) -> Tensor:
        """Replace a random share of the items by the unknown item, in training only."""
        if self.training and self.config.unknown_share > 0:
            item = item * (torch.rand(item.shape, device=item.device) >= self.config.unknown_share)
        return item

    def _following(self, item: Tensor) -> Tensor:
        step = self._step_items
        if self.training and step.hidden is not None:  # an item that is treated as new has the unknown item's vector
            is_known = torch.ones(len(self._ids()), dtype=torch.int64).index_fill(0, step.hidden[0], 0)
            item = item * is_known[self.table_rows(item)]
        if step.rows is None:
            following: Tensor = self.following(item)
            return following
        rows, place = torch.unique(item, return_inverse=True)
        return functional.embedding(place, step.read(self.following.weight, rows))

    def _representation(self, output: Tensor, inputs: Tensor, item: Tensor) -> Tensor:
        # The last event has its own path to the representation, so that the state is free for earlier events. The path
        # is a linear map of the inputs, which works for rare items too, and a vector for each item, which learns the
        # item's successors. Both depend on the event alone, so the export folds both into tables.
        from_event: Tensor = self.shortcut(inputs) + self.dropout(self._following(item))
        from_state: Tensor = self.head(self.dropout(output))
        return from_state + from_event
