"""Decodes records whose values are not JSON of the event contract: other payloads, and mapped records. Pure.

A record of several lines becomes several events. The record counts as a whole: where the judge rejects one line, the
record is one dead letter.
"""

from collections.abc import Sequence
from typing import Any

from encoder.data.contract.incoming_event import MAX_AHEAD_MS, MAX_VALUE_BYTES, IncomingEvent
from encoder.data.contract.judge import DroppedField, judge_fields, too_large
from encoder.data.contract.quoting import quote, quote_json
from encoder.data.contract.rejection import Rejection
from encoder.data.mapping import records as mapped
from encoder.data.mapping.mapping import Mapping
from encoder.data.mapping.records import SkipReason, SourceRecord
from streams.contracts.behavior_events import ERASE_HEADER
from streams.engine.codec import (
    CONTRACT,
    Outcome,
    Rejected,
    Several,
    Skipped,
    checked_event,
    erasure_of,
    rejected,
    wrong_time,
)
from streams.engine.payload.reader import PayloadReader

# Values that are read before their events are. More values would leave the processor's cache in between.
READ_TOGETHER = 64


class MappedDecoder:
    """Decodes the records of a topic whose values `payload` reads, by a mapping."""

    keys_name_users = False

    def __init__(self, mapping: Mapping, payload: PayloadReader, whole: PayloadReader | None = None) -> None:
        """whole: reads a rejected value again, where `payload` leaves out what the mapping does not read. A reason then
        shows the value as it is.
        """
        self.name = f"{mapping.name}-{mapping.fingerprint}"
        self._mapping = mapping
        self._payload = payload
        self._whole = whole

    def decode_batch(self, records: Sequence[Any], dropped: list[DroppedField] | None = None) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for start in range(0, len(records), READ_TOGETHER):
            self._decode_some(records[start : start + READ_TOGETHER], outcomes, dropped)
        return outcomes

    def _decode_some(self, records: Sequence[Any], outcomes: list[Outcome], dropped: list[DroppedField] | None) -> None:
        append, read_at_once = outcomes.append, self._mapping.read_at_once
        for record, value in zip(records, read_values(self._payload, records), strict=True):
            timestamp_ms = record.timestamp
            found = read_at_once(value, record.key, record.headers, timestamp_ms)
            if found.__class__ is IncomingEvent and 0 <= timestamp_ms >= found.event_time_ms - MAX_AHEAD_MS:
                append(found)
            elif value.__class__ is Rejected:
                append(value)
            elif record.value is None:
                append(self._without_value(record))
            else:
                append(self._finished(found, record, value, dropped))

    def _finished(self, found: Any, record: Any, value: Any, dropped: list[DroppedField] | None) -> Outcome:
        """The outcome of a record that is no plain event. found: what the mapping read at once."""
        lost: list[DroppedField] = []
        source = SourceRecord(value, record.key, record.headers, record.timestamp)
        judged = self._mapping.finish(found, source, lost)
        if isinstance(judged, mapped.Skipped):
            return Skipped(*judged)
        if isinstance(judged, Rejection):
            return rejected(judged) if self._whole is None else self._rejected(self._whole, record, judged)
        outcome = _several(judged, record.timestamp) if len(judged) > 1 else _timely(judged[0], record.timestamp)
        if dropped is not None and not isinstance(outcome, Rejected):
            dropped += lost
        return outcome

    def _rejected(self, whole: PayloadReader, record: Any, rejection: Rejection) -> Rejected:
        """The rejection of the whole value."""
        [value] = whole.read_batch([record.value])
        if isinstance(value, Rejected):
            return value
        judged = self._mapping.judge(SourceRecord(value, record.key, record.headers, record.timestamp))
        return rejected(judged if isinstance(judged, Rejection) else rejection)

    def _without_value(self, record: Any) -> Outcome:
        for name, user_id in record.headers:
            if name == ERASE_HEADER:
                return erasure_of(user_id)
        user_id = self._mapping.erased_user(record.key)
        if user_id is None:
            return Skipped(SkipReason.TOMBSTONE, f"key is {quote(record.key)}")
        return erasure_of(user_id.encode("utf-8", "surrogateescape"))


class PayloadDecoder:
    """Decodes records of the event contract whose values are not JSON."""

    name = CONTRACT
    keys_name_users = True

    def __init__(self, payload: PayloadReader) -> None:
        self._payload = payload

    def decode_batch(self, records: Sequence[Any], dropped: list[DroppedField] | None = None) -> list[Outcome]:
        values = zip(records, read_values(self._payload, records), strict=True)
        return [self._outcome(record, value, dropped) for record, value in values]

    def _outcome(self, record: Any, value: Any, dropped: list[DroppedField] | None) -> Outcome:
        if isinstance(value, Rejected):
            return value
        if record.value is None:
            return erasure_of(record.key)
        if not isinstance(value, dict):
            return Rejected(f"value is {quote_json(value)}: an object with the fields of an event is expected", "value")
        judged, lost = judge_fields(value)
        if isinstance(judged, Rejection):
            return rejected(judged)
        outcome = checked_event(record.key, judged, record.timestamp)
        if dropped is not None and outcome is judged:
            dropped += lost
        return outcome


def read_values(payload: PayloadReader, records: Sequence[Any]) -> list[Any]:
    """The object of each record's value; None where the record has no value, and Rejected where it cannot be read."""
    values = [record.value for record in records]
    readable = [value for value in values if value is not None and len(value) <= MAX_VALUE_BYTES]
    found = payload.read_batch(readable)
    if len(found) == len(values):
        return found
    objects = iter(found)
    return [
        None if value is None else next(objects) if len(value) <= MAX_VALUE_BYTES else rejected(too_large(len(value)))
        for value in values
    ]


def _timely(event: IncomingEvent, timestamp_ms: int) -> IncomingEvent | Rejected:
    """The event, or its rejection where its time lies too far behind the timestamp of its record."""
    is_late = event.event_time_ms - timestamp_ms > MAX_AHEAD_MS or timestamp_ms < 0
    return wrong_time(event.event_time_ms, timestamp_ms) if is_late else event


def _several(events: tuple[IncomingEvent, ...], timestamp_ms: int) -> Several | Rejected:
    user_id = events[0].user_id
    for number, event in enumerate(events, 1):
        why: Any = _timely(event, timestamp_ms)
        if event.user_id != user_id:
            why = Rejected(
                f"user_id is {quote(event.user_id)}, and line 1 has {quote(user_id)}: all lines of a record must "
                "belong to one user",
                "user_id",
            )
        if isinstance(why, Rejected):
            return Rejected(f"line {number}: {why.reason}", why.field)
    return Several(events[0].event_id, user_id, events)
