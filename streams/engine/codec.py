"""Decodes Kafka records to events, erasures or rejections with a reason. Pure, and raises nothing for bad input.

The bounds are those of `streams.contracts.behavior_events.IncomingEvent`, checked while decoding. A record that
breaks the contract is rejected. The codec accepts by decision:

- unknown fields with any content, as long as the JSON around them can be read;
- a field that stands twice: the last value counts, as in most JSON readers, and a user_id must still equal the key;
- null in an optional field, with the same meaning as a missing field;
- `1e2`, `5` or `-0.0` as a price, because JSON has one kind of number.
"""

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from encoder.data.events import BehaviorEvent
from streams.contracts.behavior_events import IncomingEvent
from streams.contracts.fields import MAX_AHEAD_MS, MAX_KEY_BYTES, MAX_TEXT, MAX_VALUE_BYTES
from streams.engine.rejection import quote, quote_bytes, why_not_an_event


class Erasure(msgspec.Struct, frozen=True, gc=False):
    """A record with a key and a null value. The record asks to forget the user."""

    user_id: str


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """A record that cannot be applied. `field` is a field's name, `key`, `value` or `timestamp`."""

    reason: str
    field: str


Outcome = BehaviorEvent | Erasure | Rejected


class Record(Protocol):
    """The part of a record that the codec reads. Records of aiokafka and of kafka-python have these fields."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def timestamp(self) -> int: ...


_decode_event = msgspec.json.Decoder(IncomingEvent).decode


def decode(key: bytes | None, value: bytes | None, timestamp_ms: int) -> Outcome:
    """Decode one record. timestamp_ms: the timestamp of the record, negative where the record has none."""
    if value is None:
        return _erasure(key)
    if len(value) > MAX_VALUE_BYTES:
        return Rejected(f"value has {len(value)} bytes, the limit is {MAX_VALUE_BYTES}", "value")
    try:
        event = _decode_event(value)
    except (ValueError, RecursionError) as error:
        return Rejected(*why_not_an_event(value, error))
    if event.user_id.encode() != key:
        return _wrong_key(key, event.user_id)
    if event.event_time_ms - timestamp_ms > MAX_AHEAD_MS or timestamp_ms < 0:
        return _wrong_time(event.event_time_ms, timestamp_ms)
    return event


def decode_batch(records: Iterable[Record]) -> list[Outcome]:
    """Decode the records in their order. The loop repeats `decode` to save one call for each record."""
    outcomes: list[Outcome] = []
    append, decode_event = outcomes.append, _decode_event
    for record in records:
        value = record.value
        if value is None or len(value) > MAX_VALUE_BYTES:
            append(decode(record.key, value, record.timestamp))
            continue
        try:
            event = decode_event(value)
        except (ValueError, RecursionError) as error:
            append(Rejected(*why_not_an_event(value, error)))
            continue
        timestamp_ms = record.timestamp
        if event.user_id.encode() != record.key:
            append(_wrong_key(record.key, event.user_id))
        elif event.event_time_ms - timestamp_ms > MAX_AHEAD_MS or timestamp_ms < 0:
            append(_wrong_time(event.event_time_ms, timestamp_ms))
        else:
            append(event)
    return outcomes


def _erasure(key: bytes | None) -> Erasure | Rejected:
    if not key:
        return Rejected(f"key is {quote(key)} and value is null: an erasure needs the user in the key", "key")
    if len(key) > MAX_KEY_BYTES:
        return Rejected(f"key {quote_bytes(key)} has {len(key)} bytes, the limit is {MAX_KEY_BYTES}", "key")
    try:
        user_id = key.decode()
    except UnicodeDecodeError as error:
        return Rejected(f"key {quote_bytes(key)} is not UTF-8: {error.reason} at byte {error.start}", "key")
    if len(user_id) > MAX_TEXT:
        return Rejected(f"key {quote(user_id)} has {len(user_id)} characters, the limit is {MAX_TEXT}", "key")
    return Erasure(user_id)


def _wrong_key(key: bytes | None, user_id: str) -> Rejected:
    shown: Any = None if key is None else quote_bytes(key)
    return Rejected(f"key is {shown}, it must be the user_id {quote(user_id)}", "key")


def _wrong_time(event_time_ms: int, timestamp_ms: int) -> Rejected:
    if timestamp_ms < 0:
        return Rejected(
            f"timestamp is {timestamp_ms}: the record has no timestamp to compare event_time_ms with", "timestamp"
        )
    ahead_ms = event_time_ms - timestamp_ms
    return Rejected(
        f"event_time_ms is {event_time_ms}, {ahead_ms} ms after the record's timestamp {timestamp_ms}; "
        f"the limit is {MAX_AHEAD_MS} ms",
        "event_time_ms",
    )
