"""Types of the fields that several contracts share, with their bounds, and the id of a behaviour record. Pure."""

from typing import Annotated

from msgspec import Meta

# Characters of an id, an action or a category. A user_id of this length in any alphabet fits a Cassandra key (64 KiB).
MAX_TEXT = 512
# Largest value and key of a behaviour record. Within these limits, the record and each of its outputs fit every topic.
MAX_VALUE_BYTES = 256 * 1024
MAX_KEY_BYTES = 4 * MAX_TEXT  # UTF-8 needs at most four bytes for a character
# An event time may lie this far after the timestamp of its record: some producers have a wrong clock or time zone.
MAX_AHEAD_MS = 86_400_000
MAX_TIME_MS = 253_402_300_799_999  # the last millisecond of the year 9999

Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
OptionalText = Annotated[str, Meta(max_length=MAX_TEXT)] | None
TimeMs = Annotated[int, Meta(ge=0, le=MAX_TIME_MS, description="milliseconds since 1970-01-01 UTC")]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, Meta(ge=0)]
RecordId = Annotated[str, Meta(description="topic-partition-offset of the behaviour record", examples=["events-0-42"])]


def record_id(topic: str, partition: int, offset: int) -> str:
    """The id of a behaviour record. The id is unique, and a replay of the record gives the same id."""
    return f"{topic}-{partition}-{offset}"
