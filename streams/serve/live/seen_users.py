"""The last events of users lately seen, and how their vectors moved. Bounded, in memory, and without a clock.

The evaluation topic gives events, and the updates topic gives vectors. A null value of the updates topic makes a user
forgotten, and an event from before is then not taken in any more.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.representation_updates import RepresentationUpdate, decode_items, decode_vector, read_json_update
from streams.serve.live.projection import Projection, turn_degrees

USERS, EVENTS_OF_USER, PLACES_OF_USER = 5_000, 30, 30
LAST_EVENTS = 12
_evaluation = msgspec.json.Decoder(EvaluationEvent)


class Place(NamedTuple):
    """Where a user's vector stood on the map after an event."""

    source: str  # id of the event
    steps: int
    event_time_ms: int
    x: float
    y: float
    turned_degrees: float | None  # since the place before; None where no place before was seen


class SeenUser:
    """What was seen of one user. The last entries are the newest."""

    def __init__(self) -> None:
        self.events: deque[EvaluationEvent] = deque(maxlen=EVENTS_OF_USER)
        self.places: deque[Place] = deque(maxlen=PLACES_OF_USER)
        self.queries: deque[tuple[int, NDArray[np.float32]]] = deque(maxlen=2)  # (steps, (Q,) of `Bundle.queries`)

    def query_before(self, steps: int) -> tuple[int, NDArray[np.float32]] | None:
        """The newest query with fewer steps, with its steps. None where none was seen."""
        return next((found for found in reversed(self.queries) if found[0] < steps), None)


class SeenUsers:
    """The users of one bundle. The users seen last are kept."""

    def __init__(
        self,
        bundle: Bundle,
        projection: Projection,
        since_ms: int,
        decode: Callable[[bytes], RepresentationUpdate] = read_json_update,
    ) -> None:
        """since_ms: `applied` counts the events of records from this time. decode: reads the value of an update, and
        raises ValueError.
        """
        self.bundle_id = bundle.bundle_id
        self.projection = projection
        self.applied = 0.0  # events applied since then; an event of a sample stands for several
        self.last: deque[EvaluationEvent] = deque(maxlen=LAST_EVENTS)
        self._bundle = bundle
        self._decode = decode
        self.since_ms = since_ms
        self._users: OrderedDict[str, SeenUser] = OrderedDict()
        self._erased_ms: OrderedDict[str, int] = (
            OrderedDict()
        )  # user -> time of the record that made the user forgotten

    def of(self, user_id: str) -> SeenUser:
        """What was seen of a user; nothing where the user was not seen."""
        return self._users.get(user_id) or SeenUser()

    def add_event(self, record: Any) -> None:
        """Take in a record of the evaluation topic. A record of another bundle and a repeated one do not count."""
        try:
            event = _evaluation.decode(record.value)
        except (msgspec.MsgspecError, TypeError):
            return
        if event.bundle_id != self.bundle_id or record.timestamp <= self._erased_ms.get(event.user_id, -1):
            return
        user = self._user(event.user_id)
        if any(event.id == known.id for known in user.events):
            return
        user.events.append(event)
        self.last.append(event)
        if record.timestamp >= self.since_ms:
            self.applied += 1 / (event.share or 1)

    def add_update(self, record: Any) -> RepresentationUpdate | None:
        """Take in a record of the updates topic. Returns the update where it is one of this bundle."""
        if record.value is None:
            self._forget((record.key or b"").decode("utf-8", "replace"), record.timestamp)
            return None
        try:
            update = self._decode(record.value)
        except ValueError:
            return None
        if update.bundle_id != self.bundle_id or record.timestamp <= self._erased_ms.get(update.user_id, -1):
            return None
        if update.has_noise:  # Noise would move the user about the map without an order.
            return update
        recent, added = update.recent_items or b"", update.recent_scores or b""
        try:
            query = self._bundle.joined_query(
                decode_vector(update.representation), decode_items(recent), decode_vector(added)
            )
        except ValueError:  # An update that does not fit the bundle is not shown.
            return None
        self._move(self._user(update.user_id), update, query)
        return update

    def _move(self, user: SeenUser, update: RepresentationUpdate, query: NDArray[np.float32]) -> None:
        if user.queries and user.queries[-1][0] >= update.steps:  # a replay writes an update again
            return
        width = len(self.projection.mean)
        turned = turn_degrees(user.queries[-1][1][:width], query[:width]) if user.queries else None
        x, y = self.projection.place(query[None])[0].tolist()
        user.places.append(Place(update.source, update.steps, update.event_time_ms, x, y, turned))
        user.queries.append((update.steps, query))

    def _user(self, user_id: str) -> SeenUser:
        user = self._users.setdefault(user_id, SeenUser())
        self._users.move_to_end(user_id)
        if len(self._users) > USERS:
            self._users.popitem(last=False)
        return user

    def _forget(self, key: str, time_ms: int) -> None:
        bundle_id, _, user_id = key.partition("/")
        if bundle_id != self.bundle_id:  # the bundle of another worker, or the key of an earlier version
            return
        self._users.pop(user_id, None)
        self.last = deque((event for event in self.last if event.user_id != user_id), LAST_EVENTS)
        self._erased_ms[user_id] = time_ms
        self._erased_ms.move_to_end(user_id)
        if len(self._erased_ms) > USERS:
            self._erased_ms.popitem(last=False)
