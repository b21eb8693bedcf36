"""Types of the fields that several contracts share, with their bounds, and the id of a behaviour record. Pure."""

from typing import Annotated

from msgspec import Meta

from encoder.data.contract.incoming_event import MAX_AHEAD_MS, MAX_TEXT, MAX_TIME_MS, MAX_VALUE_BYTES, TimeMs

__all__ = [
    "MAX_AHEAD_MS",
    "MAX_HEADERS_BYTES",
    "MAX_KEY_BYTES",
    "MAX_TEXT",
    "MAX_TIME_MS",
    "MAX_VALUE_BYTES",
    "Count",
    "RecordId",
    "TimeMs",
    "event_id",
    "record_id",
    "record_of",
]

MAX_HEADERS_BYTES = 64 * 1024  # of the headers of a behaviour record that its dead letter keeps
MAX_KEY_BYTES = 4 * MAX_TEXT  # largest key of a behaviour record; UTF-8 needs at most four bytes for a character

Count = Annotated[int, Meta(ge=0)]
RecordId = Annotated[
    str,
    Meta(
        description="topic-epoch-partition-offset of the behaviour record. The epoch is 0 until the topic is deleted "
        "and made again, and then another number. Older outputs have topic-partition-offset. The second event of a "
        "record has the id of the record and .1, the third event .2, and so on",
        examples=["events-0-3-42"],
    ),
]


def record_id(topic: str, epoch: int, partition: int, offset: int) -> str:
    """The id of a behaviour record. The id is unique, and a replay of the record gives the same id.

    epoch: the first epoch of the topic's incarnation (`EpochView.incarnation`). Offsets begin again at 0 in a topic
    that was deleted and made again, so without the epoch an id of the new topic would name a record of the old topic.
    """
    return f"{topic}-{epoch}-{partition}-{offset}"


def event_id(record: str, line: int) -> str:
    """The id of an event by the id of the event's record. line: the number of the event in the record, from 0.

    The first event has the id of the record.
    """
    return f"{record}.{line}" if line else record


def record_of(event: str) -> str:
    """The id of an event's record. event: an id of `event_id`."""
    place, dot, line = event.rpartition(".")
    is_line = dot and line.isdecimal() and place.rpartition("-")[2].isdecimal()
    return place if is_line else event
