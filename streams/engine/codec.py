"""Decodes Kafka records to events, erasures or rejections with a reason. Pure, and raises nothing for bad input.

`ContractDecoder` reads records of the event contract. `streams.engine.payload.mapped_decoder` reads records of other
forms, by a mapping.

The bounds are those of `encoder.data.contract.incoming_event.IncomingEvent`, checked while decoding. A record that the
decoder refuses goes to the judge, `encoder.data.contract.judge`, who also judges the rows of training logs. The judge
rejects the record, or returns the event without its broken optional fields. The codec accepts by decision:

- unknown fields with any content, as long as the JSON around them can be read;
- a field that stands twice: the last value counts, as in most JSON readers, and a user_id must still equal the key;
- null in an optional field, with the same meaning as a missing field;
- `1e2`, `5` or `-0.0` as a price, because JSON has one kind of number.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from encoder.data.contract.incoming_event import MAX_AHEAD_MS, MAX_TEXT, MAX_VALUE_BYTES, IncomingEvent
from encoder.data.contract.judge import DroppedField, decode_well_formed, judge_malformed, too_large
from encoder.data.contract.quoting import quote, quote_bytes
from encoder.data.contract.rejection import Rejection
from encoder.data.events import BehaviorEvent
from streams.contracts.fields import MAX_KEY_BYTES

CONTRACT = "the event contract"


class Erasure(msgspec.Struct, frozen=True, gc=False):
    """A record with a key and a null value. The record asks to forget the user."""

    user_id: str


class Several(msgspec.Struct, frozen=True, gc=False):
    """A record with two or more events of one user, such as the lines of an order.

    The record counts as a whole: all events are applied, or none. event_id: the id of the first event, which stands for
    the record where ids are compared.
    """

    event_id: str
    user_id: str
    events: tuple[BehaviorEvent, ...]


class WithoutUser(msgspec.Struct, frozen=True, gc=False):
    """A record that changes no user, because the record holds no event that can be applied."""


class Rejected(WithoutUser, frozen=True, gc=False):
    """A record that cannot be applied. `field` is a field's name, `key`, `value` or `timestamp`.

    hidden_reason: the reason with the values of the record, where `reason` must show none.
    """

    reason: str
    field: str
    hidden_reason: str | None = None


class Skipped(WithoutUser, frozen=True, gc=False):
    """A record that is no event by the mapping.

    reason: one of few words, such as `action`. value: what the record had there, such as the name of the action.
    """

    reason: str
    value: str


Outcome = BehaviorEvent | Several | Erasure | Rejected | Skipped


class Record(Protocol):
    """The part of a record that the codec reads. Records of aiokafka and of kafka-python have these fields."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def timestamp(self) -> int: ...


class RecordDecoder(Protocol):
    """Decodes the records of the behaviour topic. Raises nothing for bad input.

    name: names what decides which events a record gives; two decoders with one name give the same events.
    keys_name_users: the key of a record is the id of the record's user.
    """

    @property
    def name(self) -> str: ...
    @property
    def keys_name_users(self) -> bool: ...

    def decode_batch(self, records: Sequence[Any], dropped: list[DroppedField] | None = None) -> list[Outcome]:
        """What each record is, in the order of the records.

        records: as aiokafka or kafka-python return them. dropped: takes the optional fields that the events lost.
        """
        ...


class ContractDecoder:
    """Decodes records of the event contract."""

    name = CONTRACT
    keys_name_users = True

    def decode_batch(self, records: Sequence[Any], dropped: list[DroppedField] | None = None) -> list[Outcome]:
        return decode_batch(records, dropped)


def decoder_rules(name: str) -> str:
    """What decides the events of records, from the name of a `RecordDecoder`: a mapping's fingerprint, not its file."""
    return name.rpartition("-")[2]


def is_same_decoder(one: str, other: str) -> bool:
    """Whether two decoders of these names give the same events. A mapping whose file was renamed is the same one."""
    return decoder_rules(one) == decoder_rules(other)


def decode_records_of(
    decoder: RecordDecoder, records: Sequence[Any], user_ids: Collection[str]
) -> tuple[list[Any], list[Outcome]]:
    """The records of these users and what each of them is. Records without a user are left out."""
    if decoder.keys_name_users:
        keys = {user_id.encode() for user_id in user_ids}
        records = [record for record in records if record.key in keys]
    kept = [
        (record, outcome)
        for record, outcome in zip(records, decoder.decode_batch(records), strict=True)
        if not isinstance(outcome, WithoutUser) and outcome.user_id in user_ids
    ]
    return [record for record, _ in kept], [outcome for _, outcome in kept]


def decode(
    key: bytes | None, value: bytes | None, timestamp_ms: int, dropped: list[DroppedField] | None = None
) -> Outcome:
    """Decode one record.

    timestamp_ms: the timestamp of the record, negative where the record has none. dropped: takes the optional fields
    that the event lost.
    """
    if value is None:
        return erasure_of(key)
    if len(value) > MAX_VALUE_BYTES:
        return rejected(too_large(len(value)))
    try:
        event = decode_well_formed(value)
    except (ValueError, RecursionError):
        return _decode_malformed(key, value, timestamp_ms, dropped)
    return checked_event(key, event, timestamp_ms)


def decode_batch(records: Iterable[Record], dropped: list[DroppedField] | None = None) -> list[Outcome]:
    """Decode the records in their order. The loop repeats `decode` to save one call for each record.

    dropped: takes the optional fields that the events lost, in the order of the events.
    """
    outcomes: list[Outcome] = []
    append, decode_event = outcomes.append, decode_well_formed
    for record in records:
        value = record.value
        if value is None or len(value) > MAX_VALUE_BYTES:
            append(decode(record.key, value, record.timestamp))
            continue
        try:
            event = decode_event(value)
        except (ValueError, RecursionError):
            append(_decode_malformed(record.key, value, record.timestamp, dropped))
            continue
        timestamp_ms = record.timestamp
        if event.user_id.encode() != record.key:
            append(_wrong_key(record.key, event.user_id))
        elif event.event_time_ms - timestamp_ms > MAX_AHEAD_MS or timestamp_ms < 0:
            append(wrong_time(event.event_time_ms, timestamp_ms))
        else:
            append(event)
    return outcomes


def _decode_malformed(
    key: bytes | None, value: bytes, timestamp_ms: int, dropped: list[DroppedField] | None
) -> BehaviorEvent | Rejected:
    judged, lost = judge_malformed(value)
    if isinstance(judged, Rejection):
        return rejected(judged)
    outcome = checked_event(key, judged, timestamp_ms)
    if dropped is not None and outcome is judged:
        dropped += lost
    return outcome


def checked_event(key: bytes | None, event: IncomingEvent, timestamp_ms: int) -> BehaviorEvent | Rejected:
    """The event, or its rejection where the event does not fit the key or the timestamp of its record."""
    if event.user_id.encode() != key:
        return _wrong_key(key, event.user_id)
    if event.event_time_ms - timestamp_ms > MAX_AHEAD_MS or timestamp_ms < 0:
        return wrong_time(event.event_time_ms, timestamp_ms)
    return event


def rejected(rejection: Rejection) -> Rejected:
    """The judge's rejection as an outcome."""
    return Rejected(rejection.reason, rejection.field)


def erasure_of(key: bytes | None) -> Erasure | Rejected:
    """The erasure of the user whom the key names."""
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


def wrong_time(event_time_ms: int, timestamp_ms: int) -> Rejected:
    """The rejection of an event whose time lies too far behind the timestamp of its record."""
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
