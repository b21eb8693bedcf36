"""A dead letter as it was read from the dead-letter topic. Pure."""

import re
from typing import Any, NamedTuple

import msgspec

from streams.contracts.dead_letters import (
    CONTENT_HEADER,
    EPOCH_HEADER,
    FIELD_HEADER,
    HEADERS_BYTES_HEADER,
    KEY_BYTES_HEADER,
    OFFSET_HEADER,
    OUR_HEADERS,
    PARTITION_HEADER,
    REASON_HEADER,
    TIMESTAMP_HEADER,
    TOPIC_HEADER,
    VALUE_BYTES_HEADER,
    epoch_of,
)
from streams.contracts.privacy.hidden_letters import key_of_content

UNKNOWN = -1
# A value as `encoder.data.contract.quoting` quotes it. A value that is cut ends with an ellipsis. The apostrophe of a
# word such as "record's" is no quote.
_QUOTED = re.compile(r"""(?<!\w)b?'(?:[^'\\]|\\.)*?['…]|(?<!\w)b?"(?:[^"\\]|\\.)*?["…]""", re.DOTALL)


class SourcePosition(NamedTuple):
    """Where and when a record of the behaviour topic stood. epoch: the incarnation of the topic, see `record_id`."""

    epoch: int
    partition: int
    offset: int
    timestamp_ms: int


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter that was not sent again. `whole`: the letter holds the complete original.

    content: `encrypted FINGERPRINT` or `dropped` where the original is hidden.
    """

    partition: int  # in the dead-letter topic
    offset: int
    timestamp_ms: int
    position: SourcePosition  # of the original, see `source_position`
    source: str  # id of the original, `record_id`; topic-partition-offset where an earlier version wrote the letter
    field: str
    reason: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = []  # of the original
    whole: bool
    content: str | None = None

    def matches(self, text: str) -> bool:
        """True when the reason contains the text outside of the values that the reason quotes.

        A value belongs to a producer and may hold any word, also the name of a field or a part of another reason.
        """
        return text in _QUOTED.sub("", self.reason)

    @property
    def why_not_whole(self) -> str:
        """Why the letter cannot be sent again, where it is not whole."""
        if self.content is None:
            return "the dead letter holds only the beginning of the record"
        if (key := key_of_content({CONTENT_HEADER: self.content})) is None:
            return "the dead letter holds nothing of the record"
        return f"the dead letter is encrypted with the key {key}, and was not decrypted"

    @property
    def reason_without_values(self) -> str:
        """The reason with an ellipsis in the place of each value that the reason quotes."""
        return _QUOTED.sub("…", self.reason)


def letter_from_record(record: Any, headers: dict[str, str]) -> Letter:
    """The dead letter of a record. headers: the headers of the record, as texts."""
    position = [headers.get(name, "?") for name in (TOPIC_HEADER, PARTITION_HEADER, OFFSET_HEADER)]
    source = [*position[:1], *([headers[EPOCH_HEADER]] if EPOCH_HEADER in headers else []), *position[1:]]
    return Letter(
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        position=source_position(record, headers),
        source="-".join(source),
        field=headers.get(FIELD_HEADER, "?"),
        reason=headers.get(REASON_HEADER, "no reason: not written by Thalweg"),
        key=record.key,
        value=record.value,
        headers=[(name, value) for name, value in record.headers if not name.startswith(OUR_HEADERS)],
        whole=not headers.keys() & {KEY_BYTES_HEADER, VALUE_BYTES_HEADER, HEADERS_BYTES_HEADER, CONTENT_HEADER},
        content=headers.get(CONTENT_HEADER),
    )


def source_position(record: Any, headers: dict[str, str]) -> SourcePosition:
    """Where the original of a dead letter stood.

    A letter that Thalweg did not write gets UNKNOWN as epoch, partition and offset, and the letter's own timestamp.
    """
    names = (PARTITION_HEADER, OFFSET_HEADER, TIMESTAMP_HEADER)
    try:
        partition, offset, timestamp_ms = (int(headers[name]) for name in names)
        epoch = epoch_of(headers)
    except (KeyError, ValueError):
        return SourcePosition(UNKNOWN, UNKNOWN, UNKNOWN, record.timestamp)
    return SourcePosition(epoch, partition, offset, timestamp_ms if timestamp_ms >= 0 else record.timestamp)
