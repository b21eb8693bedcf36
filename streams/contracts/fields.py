"""Types of the fields that several contracts share, with their bounds, and the id of a behaviour record. Pure."""

from typing import Annotated

from msgspec import Meta

from encoder.data.contract.incoming_event import MAX_AHEAD_MS, MAX_TEXT, MAX_TIME_MS, MAX_VALUE_BYTES, TimeMs

__all__ = [
    "MAX_AHEAD_MS",
    "MAX_KEY_BYTES",
    "MAX_TEXT",
    "MAX_TIME_MS",
    "MAX_VALUE_BYTES",
    "Count",
    "RecordId",
    "TimeMs",
    "record_id",
]

MAX_KEY_BYTES = 4 * MAX_TEXT  # largest key of a behaviour record; UTF-8 needs at most four bytes for a character

Count = Annotated[int, Meta(ge=0)]
RecordId = Annotated[str, Meta(description="topic-partition-offset of the behaviour record", examples=["events-0-42"])]


def record_id(topic: str, partition: int, offset: int) -> str:
    """The id of a behaviour record. The id is unique, and a replay of the record gives the same id."""
    return f"{topic}-{partition}-{offset}"
