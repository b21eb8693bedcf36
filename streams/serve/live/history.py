"""What the page shows besides users: metrics over time, alarms, dead letters, and the state of the stream. Pure.

A method that takes in records returns the message that tells a page what is new, or None.
"""

import re
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

import msgspec

from streams.commands.dead_letters.letter import letter_from_record
from streams.commands.dead_letters.markers import is_marker
from streams.contracts.alarm_events import AlarmEvent
from streams.contracts.dead_letters import decode_headers
from streams.contracts.metrics_events import MetricsEvent

METRICS, ALARMS, STATUSES = 1_000, 200, 300  # that are kept, the newest
SHOWN_LETTERS, REASONS, REASON_CHARACTERS = 20, 50, 200
OTHER_REASONS = "other reasons"
_LONG_NUMBER = re.compile(r"-?\d{9,}")  # a time in milliseconds, which would make every reason another one


class DeadLetterShown(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter without its key, and without the values that the reason quotes, which may be of a user."""

    time_ms: int
    field: str
    reason: str
    source: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The stream at one moment. None: not known, for example because Kafka does not answer."""

    time_ms: int
    bundle_id: str | None = None
    sent_per_s: float | None = None  # records that producers wrote
    applied_per_s: float | None = None  # events that workers of the bundle applied
    lag: int | None = None  # records that the bundle's consumer group has not committed
    freshness_p50_ms: float | None = None
    freshness_p99_ms: float | None = None
    freshness_samples: int = 0
    last: list[dict[str, Any]] = []  # the last evaluation events, oldest first


_metrics = msgspec.json.Decoder(MetricsEvent)
_alarm = msgspec.json.Decoder(AlarmEvent)


class History:
    """Keeps the newest of everything. `snapshot` is all that a page needs to begin."""

    def __init__(self) -> None:
        self._metrics: dict[str, MetricsEvent] = {}  # by id, in order of arrival
        self._alarms: dict[tuple[str, str, str, int], AlarmEvent] = {}  # the last state of an alarm counts
        self._statuses: deque[Status] = deque(maxlen=STATUSES)
        self._letters: deque[DeadLetterShown] = deque(maxlen=SHOWN_LETTERS)
        self._reasons: Counter[tuple[str, str]] = Counter()  # by field and reason

    def add_metrics(self, records: Iterable[Any]) -> list[MetricsEvent]:
        """Take in records of the metrics topic, and return those that are new. The first event of an id counts.

        Slices and predictions are dropped: no page shows them, and a thousand windows of them make a snapshot long.
        """
        new: dict[str, MetricsEvent] = {}
        for event in _decoded(_metrics, records):
            if event.id not in self._metrics:
                new.setdefault(event.id, msgspec.structs.replace(event, slices={}, predictions={}))
        self._metrics |= new
        _keep(self._metrics, METRICS)
        return list(new.values())

    def add_alarms(self, records: Iterable[Any]) -> list[AlarmEvent]:
        """Take in records of the alarm topic, and return them."""
        found = _decoded(_alarm, records)
        for alarm in found:  # begin and end of an alarm are two events with ids of their own
            name = (alarm.bundle_id, alarm.name, alarm.slice, alarm.starts_at_ms)
            self._alarms.pop(name, None)
            self._alarms[name] = alarm
        _keep(self._alarms, ALARMS)
        return found

    def add_letters(self, records: Iterable[Any]) -> dict[str, Any] | None:
        """Take in records of the dead-letter topic, and return the table of all letters if a letter was among them."""
        letters = [letter for record in records if (letter := _shown(record)) is not None]
        for letter in letters:
            kind = (letter.field, letter.reason)
            has_room = kind in self._reasons or len(self._reasons) < REASONS
            self._reasons[kind if has_room else ("", OTHER_REASONS)] += 1
        self._letters.extend(letters)
        return self.dead_letters() if letters else None

    def add_status(self, status: Status) -> None:
        self._statuses.append(status)

    def dead_letters(self) -> dict[str, Any]:
        """The number of letters that were read, the numbers by reason, and the last letters, the newest first."""
        return {
            "count": self._reasons.total(),
            "reasons": [
                {"field": field, "reason": reason, "count": count}
                for (field, reason), count in self._reasons.most_common()
            ],
            "last": sorted(self._letters, key=lambda letter: letter.time_ms, reverse=True),
        }

    def snapshot(self) -> dict[str, Any]:
        return {
            "metrics": list(self._metrics.values()),
            "alarms": list(self._alarms.values()),
            "dead_letters": self.dead_letters(),
            "statuses": [msgspec.structs.replace(status, last=[]) for status in list(self._statuses)[:-1]]
            + list(self._statuses)[-1:],
        }


def _decoded(decoder: "msgspec.json.Decoder[Any]", records: Iterable[Any]) -> list[Any]:
    """The values that are what the topic promises. Other programs may write anything, and a page shows none of that."""
    found = []
    for record in records:
        try:
            found.append(decoder.decode(record.value or b""))
        except msgspec.MsgspecError:
            continue
    return found


def _shown(record: Any) -> DeadLetterShown | None:
    """None for a marker of the topic."""
    headers = decode_headers(record.headers)
    if is_marker(headers):
        return None
    letter = letter_from_record(record, headers)
    reason = _LONG_NUMBER.sub("…", letter.reason_without_values)[:REASON_CHARACTERS]
    return DeadLetterShown(time_ms=letter.timestamp_ms, field=letter.field, reason=reason, source=letter.source)


def _keep(found: dict[Any, Any], most: int) -> None:
    """Drop the oldest entries."""
    for name in list(found)[: max(0, len(found) - most)]:
        del found[name]
