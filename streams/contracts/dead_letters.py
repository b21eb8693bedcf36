"""Records of the dead-letter topic: dead letters, and markers of dead letters that were resent or erased. Pure."""

import hashlib
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from streams.contracts.fields import MAX_HEADERS_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES, Count

# Kafka headers of a dead letter
REASON_HEADER = "thalweg-reason"
FIELD_HEADER = "thalweg-field"
TOPIC_HEADER = "thalweg-topic"
EPOCH_HEADER = "thalweg-epoch"  # the incarnation of the topic; a record without this header counts as of the first
PARTITION_HEADER = "thalweg-partition"
OFFSET_HEADER = "thalweg-offset"
TIMESTAMP_HEADER = "thalweg-timestamp-ms"
# The bundle whose worker rejected the record. Dead letters of earlier versions have no such header.
BUNDLE_HEADER = "thalweg-bundle"
# The field of a record whose schema could not be had. A registry that learns the schema later changes what the record
# is, so `thalweg verify` believes the worker.
SCHEMA_FIELD = "schema"
# The original size. These headers are set only when the dead letter holds just the beginning of the key or value, or
# none of the original headers.
KEY_BYTES_HEADER = "thalweg-key-bytes"
VALUE_BYTES_HEADER = "thalweg-value-bytes"
HEADERS_BYTES_HEADER = "thalweg-headers-bytes"
# Only where the settings name a `pseudonym_key`: "encrypted" and the fingerprint of the key, or "dropped". A backfill
# has no originals, and its dead letters say "dropped" without a key too.
CONTENT_HEADER = "thalweg-content"
OUR_HEADERS = "thalweg-"  # with what the names of all headers of Thalweg begin

# Kafka headers of a marker. A marker is a record of the dead-letter topic that is not a dead letter.
RESENT_HEADER = "thalweg-resent"  # offsets of dead letters that were sent again, such as "3,17,18"
ERASED_HEADER = "thalweg-erased"  # hash of an erased user; earlier dead letters of this user are not shown any more


class DeadLetterHeaders(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a record could not be applied and where it stood; as Kafka headers, each value as UTF-8 text."""

    reason: Annotated[str, Meta(description="names the field and shows its value")] = msgspec.field(name=REASON_HEADER)
    field: Annotated[str, Meta(description="of the event; or key, value, timestamp, schema")] = msgspec.field(
        name=FIELD_HEADER
    )
    topic: str = msgspec.field(name=TOPIC_HEADER)
    epoch: (
        Annotated[int, Meta(ge=0, description="as in the ids of the record's outputs; absent in older dead letters")]
        | None
    ) = msgspec.field(name=EPOCH_HEADER, default=None)
    partition: Count = msgspec.field(name=PARTITION_HEADER)
    offset: Count = msgspec.field(name=OFFSET_HEADER)
    timestamp_ms: Annotated[int, Meta(description="of the record; -1 where it had none")] = msgspec.field(
        name=TIMESTAMP_HEADER
    )
    bundle_id: (
        Annotated[str, Meta(description="bundle whose worker rejected the record; absent in older dead letters")] | None
    ) = msgspec.field(name=BUNDLE_HEADER, default=None)
    key_bytes: Annotated[int, Meta(description="original size, only where the key was cut")] | None = msgspec.field(
        name=KEY_BYTES_HEADER, default=None
    )
    value_bytes: Annotated[int, Meta(description="original size, only where the value was cut")] | None = msgspec.field(
        name=VALUE_BYTES_HEADER, default=None
    )
    headers_bytes: (
        Annotated[int, Meta(description="size of the original headers, only where they were left out")] | None
    ) = msgspec.field(name=HEADERS_BYTES_HEADER, default=None)
    content: (
        Annotated[str, Meta(description="`encrypted FINGERPRINT` or `dropped`; for pseudonyms, or of a backfill")]
        | None
    ) = msgspec.field(name=CONTENT_HEADER, default=None)


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A record that could not be applied, ready to be produced to the dead-letter topic.

    The key and the value are those of the original record. The headers say why the record was rejected and where the
    record stood. A key over MAX_KEY_BYTES or a value over MAX_VALUE_BYTES is cut to that size, and a header holds the
    original size. Headers of the original record follow behind those of Thalweg, because a mapping may read them.
    Headers over MAX_HEADERS_BYTES are left out. The dead-letter topic can therefore take every record that the
    behaviour topic took.
    """

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def dead_letter(record: Any, reason: str, field: str, epoch: int, bundle_id: str | None = None) -> DeadLetter:
    """Make the dead letter of a record (of aiokafka or kafka-python) that was rejected for `reason` at `field`.

    epoch: the first epoch of the topic's incarnation (`EpochView.incarnation`). bundle_id: whose worker rejected the
    record; None where no worker did.
    """
    key, value = record.key, record.value
    is_key_too_long = key is not None and len(key) > MAX_KEY_BYTES
    is_value_too_long = value is not None and len(value) > MAX_VALUE_BYTES
    original = [(name, text) for name, text in record.headers if not name.startswith(OUR_HEADERS)]
    headers_bytes = sum(len(name.encode()) + len(text or b"") for name, text in original)
    headers = DeadLetterHeaders(
        reason=reason,
        field=field,
        topic=record.topic,
        epoch=epoch,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        bundle_id=bundle_id,
        key_bytes=len(key) if is_key_too_long else None,
        value_bytes=len(value) if is_value_too_long else None,
        headers_bytes=headers_bytes if headers_bytes > MAX_HEADERS_BYTES else None,
    )
    ours = [(name, str(text).encode()) for name, text in msgspec.to_builtins(headers).items()]
    return DeadLetter(
        key=key[:MAX_KEY_BYTES] if is_key_too_long else key,
        value=value[:MAX_VALUE_BYTES] if is_value_too_long else value,
        headers=ours if headers_bytes > MAX_HEADERS_BYTES else [*ours, *original],
    )


def user_hash(user_id: bytes) -> str:
    """The hash that stands for a user in an erasure marker: SHA-256 of the user_id (UTF-8), in hexadecimal."""
    return hashlib.sha256(user_id).hexdigest()


def erasure_marker(user_id: str, epoch: int, offset: int) -> list[tuple[str, bytes]]:
    """Headers of the marker that says: the record at `offset` of the behaviour topic erased this user.

    epoch: the first epoch of the topic's incarnation (`EpochView.incarnation`).
    """
    return [
        (ERASED_HEADER, user_hash(user_id.encode()).encode()),
        (EPOCH_HEADER, str(epoch).encode()),
        (OFFSET_HEADER, str(offset).encode()),
    ]


def decode_headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """Kafka headers as texts by name. When a name stands twice, the last value counts."""
    return {name: (value or b"").decode("utf-8", "replace") for name, value in headers}


def epoch_of(headers: dict[str, str]) -> int:
    """The incarnation of the topic that a dead letter or an erasure marker names. Raises ValueError.

    Earlier versions named none. Their records count as records of the first incarnation.
    """
    return int(headers.get(EPOCH_HEADER, 0))
