"""What records decode to as columns of an archive, and back. Does no input and no output."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from encoder.data.contract.incoming_event import IncomingEvent
from encoder.data.events import BehaviorEvent
from streams.archive.schema import ERASURE, EVENT, REJECTED, SCHEMA, SKIPPED
from streams.engine.codec import Erasure, Outcome, Rejected, Several, Skipped

KINDS: dict[type, str] = {
    BehaviorEvent: EVENT,
    IncomingEvent: EVENT,
    Erasure: ERASURE,
    Rejected: REJECTED,
    Skipped: SKIPPED,
}
_encode = msgspec.json.encode
_decode_attributes = msgspec.json.Decoder(dict[str, str | int | float]).decode


class ArchivedRecord(NamedTuple):
    """The position and the time of a record, as the engine reads them of a record of Kafka."""

    offset: int
    timestamp: int  # milliseconds; -1: the record has none


def to_batch(topic: str, partition: int, records: Sequence[Any], outcomes: Sequence[Outcome]) -> pa.RecordBatch:
    """One row for each event of a record, and one row for each other outcome.

    records: objects with `.offset` and `.timestamp` (ms) of one partition, in order. outcomes: what each record is.
    Returns a batch of SCHEMA.
    """
    rows, lines, places = _rows(outcomes)
    names = ("event_id", "user_id", "item_id", "action", "event_time_ms", "session_id", "category", "price")
    columns: dict[str, Any] = {"kind": [KINDS[type(row)] for row in rows]}
    columns |= {name: [getattr(row, name, None) for row in rows] for name in names}
    attributes = [getattr(row, "attributes", None) for row in rows]
    columns |= {
        "attributes": [None if one is None else _encode(one).decode() for one in attributes],
        "topic": [topic] * len(rows),
        "partition": [partition] * len(rows),
        "offset": [records[at].offset for at in places],
        "line": lines,
        "record_timestamp_ms": [records[at].timestamp for at in places],
        "field": [row.value if isinstance(row, Skipped) else getattr(row, "field", None) for row in rows],
        "reason": [getattr(row, "reason", None) for row in rows],
    }
    arrays = [_array(columns[field.name], field.type) for field in SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.string()).dictionary_encode()
    return pa.array(values, kind)


def _rows(outcomes: Sequence[Outcome]) -> tuple[Sequence[Any], Sequence[int], Sequence[int]]:
    """The outcome of each row, the row's line in its record, and the number of the record."""
    if Several not in set(map(type, outcomes)):
        return outcomes, [0] * len(outcomes), range(len(outcomes))
    rows: list[Any] = []
    lines: list[int] = []
    places: list[int] = []
    for place, outcome in enumerate(outcomes):
        of_record = outcome.events if isinstance(outcome, Several) else (outcome,)
        rows += of_record
        lines += range(len(of_record))
        places += [place] * len(of_record)
    return rows, lines, places


def to_outcomes(batch: pa.RecordBatch) -> tuple[list[ArchivedRecord], list[Outcome]]:
    """The records of a batch and what each of them is.

    batch: of SCHEMA, with all rows of each of its records, as `ArchiveReader.read` returns them.
    """
    kinds = batch.column("kind").to_pylist()
    names = ("event_id", "user_id", "item_id", "action", "event_time_ms", "session_id", "category", "price")
    ids = batch.column("user_id").to_pylist()
    fields, reasons = batch.column("field").to_pylist(), batch.column("reason").to_pylist()
    attributes = [None if one is None else _decode_attributes(one) for one in batch.column("attributes").to_pylist()]
    events = zip(*(batch.column(name).to_pylist() for name in names), attributes, strict=True)
    outcomes: list[Any] = []
    for kind, user_id, field, reason, columns in zip(kinds, ids, fields, reasons, events, strict=True):
        if kind == EVENT:
            event_id, _, item_id, action, event_time_ms, session_id, category, price, own = columns
            outcomes.append(
                BehaviorEvent(
                    event_id=event_id,
                    user_id=user_id,
                    item_id=item_id,
                    action=action,
                    event_time_ms=event_time_ms,
                    session_id=session_id,
                    category=category,
                    price=price,
                    attributes=own,
                )
            )
        elif kind == ERASURE:
            outcomes.append(Erasure(user_id))
        else:
            outcomes.append(Rejected(reason, field) if kind == REJECTED else Skipped(reason, field))
    offsets, times = batch.column("offset").to_pylist(), batch.column("record_timestamp_ms").to_pylist()
    records = list(map(ArchivedRecord, offsets, times))
    lines = batch.column("line").to_numpy()
    return (records, outcomes) if not lines.any() else _joined(records, outcomes, lines.tolist())


def _joined(
    records: Sequence[ArchivedRecord], outcomes: Sequence[Any], lines: Sequence[int]
) -> tuple[list[ArchivedRecord], list[Outcome]]:
    """Rows of one record become one outcome."""
    starts = [at for at, line in enumerate(lines) if line == 0]
    joined: list[Outcome] = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        first = outcomes[start]
        several = end - start > 1
        joined.append(Several(first.event_id, first.user_id, tuple(outcomes[start:end])) if several else first)
    return [records[start] for start in starts], joined
