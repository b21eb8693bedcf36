"""Which records of the dead-letter topic are letters to be shown and sent again."""

from typing import Any, NamedTuple

from streams.commands.dlq import _Markers
from streams.contracts.dead_letters import (
    OFFSET_HEADER,
    PARTITION_HEADER,
    RESENT_HEADER,
    TIMESTAMP_HEADER,
    TOPIC_HEADER,
    decode_headers,
)


class Written(NamedTuple):
    """A record as read."""

    partition: int
    offset: int
    headers: list[tuple[str, bytes]]
    timestamp: int = 5
    key: bytes | None = b"user"
    value: bytes | None = b"no event"


def letter(offset: int, source_offset: int) -> Written:
    headers = {TOPIC_HEADER: b"events", PARTITION_HEADER: b"0", TIMESTAMP_HEADER: b"5"}
    return Written(0, offset, [*headers.items(), (OFFSET_HEADER, b"%d" % source_offset)])


def shown(records: list[Written]) -> list[int]:
    markers = _Markers()
    for record in records:
        markers.add(record)
    return [record.offset for record in records if not markers.hide(record, _texts(record))]


def _texts(record: Any) -> dict[str, str]:
    return decode_headers(record.headers)


def test_a_letter_that_a_replay_wrote_again_counts_once() -> None:
    assert shown([letter(0, 7), letter(1, 8), letter(2, 7), letter(3, 8), letter(4, 9)]) == [0, 1, 4]


def test_a_copy_of_a_letter_that_was_sent_again_is_not_sent_either() -> None:
    marker = Written(0, 3, [(RESENT_HEADER, b"0,1")])
    assert shown([letter(0, 7), letter(1, 8), letter(2, 7), marker, letter(4, 8)]) == []


def test_letters_of_others_are_all_shown() -> None:
    assert shown([Written(0, 0, []), Written(0, 1, [])]) == [0, 1]
