"""Ranks of an event's item under the user's frozen representations. No I/O, no clock.

A score is the dot product of an item's vector and the representation, and what the user's recent items have besides:
docs/contracts.md#representations.
"""

import zlib
from typing import NamedTuple

import numpy as np

from encoder.metrics.ranking import MISS
from export.runtime.bundle import Bundle
from export.runtime.queries import recent_items
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.representation_updates import RepresentationUpdate, decode_items, decode_vector
from streams.monitor.frozen.users import LAGS, FrozenUsers, Query

# Above this number of items, a share of the events is ranked, so that an event costs about 0.1 ms in the mean.
ITEMS_RANKED = 5_000


class FrozenRank(NamedTuple):
    """The rank of an event's item under a frozen representation."""

    scorer: str
    rank: int  # over the whole catalogue, ties against the item; 0 for an item outside the catalogue
    distance: float | None  # cosine distance of the frozen and the live representation


class FrozenComparison:
    """Follows the updates of one bundle and ranks the items of the bundle's evaluation events."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle_id = bundle.bundle_id
        self._index = bundle.item_index
        self._joined_query = bundle.joined_query
        self._places = bundle.manifest.recent_places
        self._width = bundle.scoring_width
        self._vectors = np.ascontiguousarray(bundle.item_vectors[:, : self._width])
        self._users = FrozenUsers(bundle.initial_query)
        self._share = min(1.0, ITEMS_RANKED / max(1, len(self._index)))

    def update(self, update: RepresentationUpdate) -> float:
        """Keep the representation of an update. Returns the representation's length.

        Raises ValueError where the update does not fit the bundle, or has noise.
        """
        if update.has_noise:
            raise ValueError("the vector has noise, and frozen representations need exact vectors")
        representation = decode_vector(update.representation)
        recent, added = decode_items(update.recent_items or b""), decode_vector(update.recent_scores or b"")
        query = self._joined_query(representation, recent, added)
        self._users.update(update.user_id, update.event_time_ms, query)
        return float(np.linalg.norm(representation))

    def forget(self, user_id: str) -> None:
        """Drop everything about a user who was erased."""
        self._users.forget(user_id)

    def ranks(self, event: EvaluationEvent) -> list[FrozenRank]:
        """The item's rank under each frozen representation that is known."""
        if not event.steps:
            self._users.begin(event.user_id, event.event_time_ms)
            return []
        if self._share < 1 and zlib.crc32(event.id.encode()) >= self._share * 2**32:
            return []
        item = self._index.get(event.item_id, 0)
        live = self._users.live(event.user_id)
        return [
            FrozenRank(lag.name, self._rank(query, item), None if live is None else self._distance(query, live))
            for lag, query in zip(LAGS, self._users.frozen(event.user_id, event.event_time_ms), strict=True)
            if query is not None
        ]

    def _rank(self, query: Query, item: int) -> int:
        if not item:
            return MISS
        scores = self._vectors @ query[: self._width]
        if self._places:
            recent, added = recent_items(query[None], self._places)
            known = recent[0] > 0
            scores[recent[0][known]] += added[0][known]
        scores[0] = -np.inf  # the row of unknown items is never ranked
        return int(np.count_nonzero(scores >= scores[item]))

    def _distance(self, frozen: Query, live: Query) -> float:
        """Cosine distance, 0 to 2, of the parts that score items."""
        first, second = frozen[: self._width], live[: self._width]
        lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
        return 1.0 - float(first @ second) / lengths if lengths else 0.0
