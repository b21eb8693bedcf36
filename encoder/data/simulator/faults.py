"""Disturbs the records of a log: events arrive late, events arrive twice, and records are malformed."""

import json
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import msgspec
import numpy as np

from encoder.data.event_log import EventLog
from encoder.errors import InputError

LATE_MEAN_MS = 1_800_000.0  # mean delay of a late event
RETRY_MAX_MS = 5_000.0  # longest time from an event to its duplicate


def faulty_records(
    log: EventLog, late: float = 0.0, duplicate: float = 0.0, malformed: float = 0.0, seed: int = 0
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the log's events as records (key, value) of the behaviour topic, in order of arrival, with faults.

    late, duplicate, malformed: the number of such records, as a share of the log's length. A late event arrives after
    younger events. Duplicates and malformed records are additional, so every event of the log arrives at least once. A
    reader that leaves out duplicates and malformed records gets the whole log.

    The same seed gives the same records. Raises InputError when a share is not between 0 and 1.
    """
    for name, share in (("late", late), ("duplicate", duplicate), ("malformed", malformed)):
        if not 0.0 <= share <= 1.0:
            raise InputError(f"{name} share {share}: give a number from 0 to 1")
    random = np.random.default_rng((seed, len(log)))
    arrival_ms = log.time_ms.astype(np.float64)
    late_rows = _choose(len(log), late, random)
    arrival_ms[late_rows] += random.exponential(LATE_MEAN_MS, len(late_rows))
    duplicate_rows = _choose(len(log), duplicate, random)
    malformed_rows = _choose(len(log), malformed, random)
    rows = np.concatenate((np.arange(len(log)), duplicate_rows, malformed_rows))
    arrival_ms = np.concatenate(
        (arrival_ms, arrival_ms[duplicate_rows] + random.uniform(1.0, RETRY_MAX_MS, len(duplicate_rows)))
    )
    arrival_ms = np.concatenate((arrival_ms, log.time_ms[malformed_rows].astype(np.float64)))
    is_malformed = np.arange(len(rows)) >= len(log) + len(duplicate_rows)
    order = np.argsort(arrival_ms, kind="stable")
    records = [(event.user_id.encode(), msgspec.json.encode(event)) for event in log.events()]
    malformations = cycle(MALFORMATIONS.values())
    for row, is_bad in zip(rows[order].tolist(), is_malformed[order].tolist(), strict=True):
        key, value = records[row]
        yield (key, next(malformations)(json.loads(value))) if is_bad else (key, value)


def _choose(count: int, share: float, random: np.random.Generator) -> "np.ndarray[Any, np.dtype[np.int64]]":
    return np.sort(random.choice(count, round(count * share), replace=False))


def _without(event: dict[str, Any], name: str) -> bytes:
    return _bytes({key: value for key, value in event.items() if key != name})


def _bytes(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


MALFORMATIONS: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "not JSON": lambda event: b"<html><body>502 Bad Gateway</body></html>",
    "truncated": lambda event: _bytes(event)[:-40],
    "time as text": lambda event: _bytes({**event, "event_time_ms": "yesterday"}),
    "no item": lambda event: _without(event, "item_id"),
    "null user": lambda event: _bytes({**event, "user_id": None}),
    "negative time": lambda event: _bytes({**event, "event_time_ms": -event["event_time_ms"]}),
    "NaN time": lambda event: _bytes({**event, "event_time_ms": float("nan")}),
    "time in seconds of the year 9999": lambda event: _bytes({**event, "event_time_ms": 253_402_300_799_000}),
    "a list": lambda event: _bytes([event]),
    "item as number": lambda event: _bytes({**event, "item_id": 42}),
    "not UTF-8": lambda event: _bytes(event).replace(b'"action":"', b'"action":"\xff\xfe', 1),
    "empty action": lambda event: _bytes({**event, "action": ""}),
}
