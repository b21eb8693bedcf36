"""Checks the values of events that come from files."""

import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from encoder.data.events import BehaviorEvent
from encoder.data.loaders.row_batches import LogFormat, RowBatch, UnusableRow
from encoder.errors import InputError

DAY_MS = 86_400_000


def validated_batches(log_format: LogFormat, path: Path) -> Iterator[RowBatch]:
    """Yield the file's batches, with an `UnusableRow` in the place of each event that `rejection_reason` rejects.

    Raises InputError when the file cannot be read.
    """
    latest_ms = int(time.time() * 1000) + DAY_MS
    try:
        for batch in log_format.batches(path):
            for row, event in enumerate(batch.events):
                if not isinstance(event, UnusableRow) and (reason := rejection_reason(event, latest_ms)):
                    batch.events[row] = UnusableRow(reason, event.user_id)
            yield batch
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"cannot read the event log {path}: {error}; check the path and that the file is whole"
        ) from None


def rejection_reason(event: BehaviorEvent, latest_ms: int) -> str | None:
    """Why an event whose types are right breaks the event contract, or None when the event is valid."""
    if not (event.user_id and event.item_id and event.action and event.event_id):
        empty = next(name for name in ("user_id", "item_id", "action", "event_id") if not getattr(event, name))
        return f"{empty} is empty"
    if not 0 <= event.event_time_ms <= latest_ms:
        fault = "negative" if event.event_time_ms < 0 else "more than a day ahead of the clock"
        return f"event_time_ms {event.event_time_ms} is {fault}"
    if event.price is not None and not abs(event.price) < float("inf"):
        return f"price {event.price} is not finite"
    for name, value in (event.attributes or {}).items():
        if isinstance(value, float) and not abs(value) < float("inf"):
            return f"attribute {name} {value} is not finite"
    return None
