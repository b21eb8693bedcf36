"""What goes over the topics, as types: bounds of the event in, the outputs, the dead letter. Pure.

JSON Schemas and the AsyncAPI document are generated from these types (`streams.contracts.generate`). Topic names are
settings.
"""

import base64
import hashlib
from binascii import b2a_base64
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from encoder.data.events import BehaviorEvent

MAX_TEXT = 512  # characters of an id, an action, a category: one user_id is one Cassandra key (64 KiB) in any alphabet
MAX_VALUE_BYTES = 256 * 1024  # of a record; above it a dead letter, so that a record and its outputs fit every topic
MAX_KEY_BYTES = 4 * MAX_TEXT  # of a record: MAX_TEXT characters of four UTF-8 bytes
MAX_AHEAD_MS = 86_400_000  # an event may lie this far after its record's timestamp: clocks and time zones go wrong
MAX_TIME_MS = 253_402_300_799_999  # the last millisecond of the year 9999

Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
OptionalText = Annotated[str, Meta(max_length=MAX_TEXT)] | None
TimeMs = Annotated[int, Meta(ge=0, le=MAX_TIME_MS, description="milliseconds since 1970-01-01 UTC")]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, Meta(ge=0)]
RecordId = Annotated[str, Meta(description="topic-partition-offset of the behaviour record", examples=["events-0-42"])]


class IncomingEvent(BehaviorEvent, frozen=True, gc=False, kw_only=True):
    """A behaviour event with the bounds that the codec holds it to; key = user_id, UTF-8.

    Unknown fields are ignored. A record with a key and a null value is an erasure: forget this user.
    """

    event_id: Annotated[Text, Meta(description="an id among the last 8 of its user is a producer's duplicate")]
    user_id: Annotated[Text, Meta(description="equal to the record's key")]
    item_id: Text
    action: Text
    event_time_ms: Annotated[TimeMs, Meta(description="at most 24 hours after the record's timestamp")]
    session_id: OptionalText = None
    category: OptionalText = None
    price: Annotated[float, Meta(ge=0)] | None = None
    attributes: Annotated[
        dict[Text, str | Int64 | float] | None, Meta(description="whole numbers within 64 bits, with sign")
    ] = None


class EvaluationEvent(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """How well a user's representation foresaw the next event: scored before the event was applied.

    Exactly one for every applied event, or for every one of a sample of them. A replay repeats the id: count each id
    once. Fields with a default may be left out: `share` where every event is evaluated, the others without heads, and
    those of the time also at steps 0.
    """

    id: RecordId
    user_id: str
    bundle_id: str
    item_id: str
    action: str
    previous_item_id: str | None
    rank: Annotated[int, Meta(ge=1, description="over the whole catalogue, ties against the model")] | None
    reciprocal_rank: Annotated[float, Meta(ge=0, le=1, description="0 where the item is not in the catalogue")]
    catalogue: Annotated[int, Meta(ge=0, description="number of items ranked")]
    steps: Annotated[int, Meta(ge=0, description="events applied before this one; 0: scored with the prior")]
    state_age_ms: Annotated[int, Meta(ge=0, description="time since the user's last event; null at steps 0")] | None
    event_time_ms: TimeMs
    action_probability: (
        Annotated[float, Meta(ge=0, le=1, description="of this action; one that the bundle does not know: of any such")]
        | None
    ) = None
    predicted_action: Annotated[str, Meta(description="the most probable one that the bundle knows")] | None = None
    time_log_likelihood: (
        Annotated[float, Meta(description="log density of state_age_ms under the distribution foreseen, per second")]
        | None
    ) = None
    time_quantile: (
        Annotated[float, Meta(ge=0, le=1, description="probability foreseen of at most state_age_ms")] | None
    ) = None
    expected_gap_ms: Annotated[int, Meta(ge=0, description="median of the distribution foreseen")] | None = None
    share: (
        Annotated[
            float,
            Meta(gt=0, le=1, description="of the events, chosen by a hash of their ids; this one stands for 1 / share"),
        ]
        | None
    ) = None


class RepresentationUpdate(msgspec.Struct, frozen=True, gc=False):
    """A user's representation after an event; key = user_id. A null value: the user was erased."""

    user_id: str
    bundle_id: str
    representation: Annotated[str, Meta(description="base64 of D little-endian 32-bit floats")]
    steps: Count
    event_time_ms: TimeMs
    source: RecordId


def record_id(topic: str, partition: int, offset: int) -> str:
    """The name of a behaviour record, unique and the same in every replay."""
    return f"{topic}-{partition}-{offset}"


def encode_vector(vector: bytes) -> str:
    """The bytes of a (D,) little-endian float32 as they stand in a RepresentationUpdate."""
    return b2a_base64(vector, newline=False).decode("ascii")


def decode_vector(text: str) -> NDArray[np.float32]:
    """The (D,) float32 of a RepresentationUpdate. Raises ValueError where the text is not base64 of whole floats."""
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)


REASON = "thalweg-reason"
FIELD = "thalweg-field"
SOURCE_TOPIC = "thalweg-topic"
SOURCE_PARTITION = "thalweg-partition"
SOURCE_OFFSET = "thalweg-offset"
SOURCE_TIMESTAMP = "thalweg-timestamp-ms"
KEY_BYTES = "thalweg-key-bytes"  # the original size; only where the dead letter holds just the beginning
VALUE_BYTES = "thalweg-value-bytes"
RESENT = "thalweg-resent"  # of a marker in the dead-letter topic, no dead letter itself: offsets sent again, "3,17,18"
ERASED = "thalweg-erased"  # of a marker too: hash of a user whose earlier dead letters are not shown any more


class DeadLetterHeaders(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a record could not be applied and where it stood; as Kafka headers, each value as UTF-8 text."""

    reason: Annotated[str, Meta(description="names the field and shows its value")] = msgspec.field(name=REASON)
    field: Annotated[str, Meta(description="of the event; or key, value, timestamp")] = msgspec.field(name=FIELD)
    topic: str = msgspec.field(name=SOURCE_TOPIC)
    partition: Count = msgspec.field(name=SOURCE_PARTITION)
    offset: Count = msgspec.field(name=SOURCE_OFFSET)
    timestamp_ms: Annotated[int, Meta(description="of the record; -1 where it had none")] = msgspec.field(
        name=SOURCE_TIMESTAMP
    )
    key_bytes: Annotated[int, Meta(description="original size, only where the key was cut")] | None = msgspec.field(
        name=KEY_BYTES, default=None
    )
    value_bytes: Annotated[int, Meta(description="original size, only where the value was cut")] | None = msgspec.field(
        name=VALUE_BYTES, default=None
    )


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A record that could not be applied, ready to be produced: its own bytes, and in headers why and where it stood.

    A key over MAX_KEY_BYTES or a value over MAX_VALUE_BYTES is cut to that, with its original size in a header, so
    that the dead-letter topic takes what the behaviour topic took. Headers of the original are not carried.
    """

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def dead_letter(record: Any, reason: str, field: str) -> DeadLetter:
    """Make the dead letter of a record (of aiokafka or kafka-python) that was rejected for `reason` at `field`."""
    key, value = record.key, record.value
    long_key = key is not None and len(key) > MAX_KEY_BYTES
    long_value = value is not None and len(value) > MAX_VALUE_BYTES
    headers = DeadLetterHeaders(
        reason=reason,
        field=field,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key_bytes=len(key) if long_key else None,
        value_bytes=len(value) if long_value else None,
    )
    return DeadLetter(
        key=key[:MAX_KEY_BYTES] if long_key else key,
        value=value[:MAX_VALUE_BYTES] if long_value else value,
        headers=[(name, str(text).encode()) for name, text in msgspec.to_builtins(headers).items()],
    )


def user_hash(user_id: bytes) -> str:
    """What stands for a user in an erasure marker: the SHA-256 of its id (UTF-8), in hexadecimal."""
    return hashlib.sha256(user_id).hexdigest()


def erasure_marker(user_id: str, offset: int) -> list[tuple[str, bytes]]:
    """Headers of the note in the dead-letter topic that a user was erased by the record at `offset`."""
    return [(ERASED, user_hash(user_id.encode()).encode()), (SOURCE_OFFSET, str(offset).encode())]


def header_texts(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """Headers as texts; a name that stands twice keeps its last value."""
    return {name: (value or b"").decode("utf-8", "replace") for name, value in headers}


class MetricsEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Online metrics of one bundle over one stretch of time, beside two baselines scored on the same events.

    One for every stretch that had events; key = bundle_id. A restarted monitor may repeat an id: the first one counts.
    """

    id: Annotated[str, Meta(description="bundle id, length of the window in ms, start of the window")]
    bundle_id: str
    window_start_ms: TimeMs
    window_end_ms: TimeMs  # exclusive; by the timestamps of the evaluation records
    events: Annotated[int, Meta(ge=0, description="scored: of users with history (steps >= 1)")]
    unknown_items: Annotated[int, Meta(ge=0, description="of these, outside the catalogue: a miss for the model")]
    without_history: Annotated[int, Meta(ge=0, description="first events of users, not scored")]
    share: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="of all events, those that were evaluated. Below 1 `metrics` and `heads` are unbiased "
            "estimates, and the counts above divided by it estimate those of all events; the baselines learned from "
            "the sample only",
        ),
    ] = 1.0
    metrics: Annotated[
        dict[str, dict[str, float | None]],
        Meta(
            description="scorer (model, popularity, last_item) -> metric -> mean over `events`, null without any",
            examples=[{"model": {"recall@20": 0.31, "mrr@20": 0.11, "ndcg@20": 0.15}}],
        ),
    ]
    heads: Annotated[
        dict[str, float],
        Meta(
            description="metric of the model's action and time over `events`; empty without heads",
            examples=[{"action_accuracy": 0.8, "action_macro_f1": 0.4, "time_calibration_error": 0.03}],
        ),
    ] = {}
