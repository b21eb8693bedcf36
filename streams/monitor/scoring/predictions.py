"""Predictions of other systems, each scored on the user's next event. Pure: no I/O, no clock."""

from collections import OrderedDict
from typing import NamedTuple

from encoder.metrics.ranking import MISS
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.fields import record_of
from streams.contracts.predictions import RESERVED_SYSTEMS, Prediction
from streams.monitor.scoring.baselines import MAX_RANK

MAX_SYSTEMS = 10
# Predictions that wait for an event. A prediction of MAX_RANK items takes about 2 KB, so all take about 200 MB.
MAX_WAITING = 100_000
MAX_USERS = 500_000  # users whose last event is known, at about 200 bytes each


class Waiting(NamedTuple):
    after_event_id: str
    items: list[str]  # the first MAX_RANK items: an item after them is a miss in every metric


class Predictions:
    """The predictions that wait for their users' next events, for one bundle.

    A prediction is scored on an event if the event before of the same user has the id that the prediction names. A
    prediction whose next event came first is late. Nothing is kept before the first prediction comes.
    """

    def __init__(self) -> None:
        # (system, reason) of each prediction that was not scored; the caller takes them out
        self.unscored: list[tuple[str, str]] = []
        self._systems: list[str] = []
        self._waiting: OrderedDict[tuple[str, str], Waiting] = OrderedDict()  # (system, user), the oldest first
        self._last_ids: OrderedDict[str, str] = OrderedDict()  # user -> id of the user's last event

    def add(self, prediction: Prediction) -> None:
        """Keep a prediction until the user's next event."""
        system, user_id = prediction.system, prediction.user_id
        if system not in self._systems:
            if system in RESERVED_SYSTEMS or len(self._systems) >= MAX_SYSTEMS:
                self.unscored.append(("other", "refused"))
                return
            self._systems.append(system)
        last_id = self._last_ids.get(user_id)
        if last_id is not None and _is_before(prediction.after_event_id, last_id):
            is_same_partition = prediction.after_event_id.rpartition("-")[0] == last_id.rpartition("-")[0]
            self.unscored.append((system, "late" if is_same_partition else "unmatched"))
            return
        key = (system, user_id)
        if self._waiting.pop(key, None) is not None:
            self.unscored.append((system, "replaced"))
        self._waiting[key] = Waiting(prediction.after_event_id, prediction.items[:MAX_RANK])
        if len(self._waiting) > MAX_WAITING:
            (dropped, _), _ = self._waiting.popitem(last=False)
            self.unscored.append((dropped, "dropped"))

    def forget(self, user_id: str) -> None:
        """Drop everything about a user who was erased."""
        self._last_ids.pop(user_id, None)
        for system in self._systems:
            self._waiting.pop((system, user_id), None)

    def ranks(self, event: EvaluationEvent) -> dict[str, int]:
        """System -> rank of the event's item in the prediction that was made for this event; MISS outside the list."""
        if not self._systems:
            return {}
        user_id, found = event.user_id, {}
        last_id = self._last_ids.pop(user_id, None)
        for system in self._systems:
            waiting = self._waiting.get((system, user_id))
            if waiting is None or not _is_before(waiting.after_event_id, event.id):
                continue  # a prediction after this event or after a later one waits on
            del self._waiting[system, user_id]
            if _is_after(waiting.after_event_id, last_id):
                items = waiting.items
                found[system] = items.index(event.item_id) + 1 if event.item_id in items else MISS
            else:
                self.unscored.append((system, "unmatched"))
        self._last_ids[user_id] = event.id
        if len(self._last_ids) > MAX_USERS:
            self._last_ids.popitem(last=False)
        return found


def _is_before(prediction: str, event: str) -> bool:
    """Whether the id that a prediction names is before an event's id of the same partition.

    An id of another partition is before: no match. The id of a record stands for all events of the record.
    """
    prediction_source, _, prediction_place = prediction.rpartition("-")
    event_source, _, event_place = event.rpartition("-")
    offset, _, line = prediction_place.partition(".")
    if prediction_source != event_source or not offset.isdecimal() or not (line or "0").isdecimal():
        return True
    event_offset, _, event_line = event_place.partition(".")
    if int(offset) == int(event_offset) and line:
        return int(line) < int(event_line or 0)
    return int(offset) < int(event_offset)


def _is_after(prediction: str, last_id: str | None) -> bool:
    """Whether a prediction names this event of the user, or the record of this event."""
    return last_id is not None and prediction in (last_id, record_of(last_id))
