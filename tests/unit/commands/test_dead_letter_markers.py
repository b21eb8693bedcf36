"""Which records of the dead-letter topic are dead letters to be shown and sent again."""

from typing import NamedTuple

from streams.commands.dead_letters.markers import Markers
from streams.contracts.dead_letters import (
    OFFSET_HEADER,
    PARTITION_HEADER,
    RESENT_HEADER,
    TIMESTAMP_HEADER,
    TOPIC_HEADER,
    decode_headers,
)


class WrittenRecord(NamedTuple):
    """A record of the dead-letter topic, as a consumer reads it."""

    partition: int
    offset: int
    headers: list[tuple[str, bytes]]
    timestamp: int = 5
    key: bytes | None = b"user"
    value: bytes | None = b"no event"


def letter(offset: int, source_offset: int) -> WrittenRecord:
    headers = {TOPIC_HEADER: b"events", PARTITION_HEADER: b"0", TIMESTAMP_HEADER: b"5"}
    return WrittenRecord(0, offset, [*headers.items(), (OFFSET_HEADER, b"%d" % source_offset)])


def shown(records: list[WrittenRecord]) -> list[int]:
    markers = Markers()
    for record in records:
        markers.add(record)
    return [record.offset for record in records if not markers.hides(record, decode_headers(record.headers))]


def test_a_letter_that_a_replay_repeats_counts_once() -> None:
    assert shown([letter(0, 7), letter(1, 8), letter(2, 7), letter(3, 8), letter(4, 9)]) == [0, 1, 4]


def test_a_repeated_letter_is_hidden_when_the_first_one_was_sent_again() -> None:
    marker = WrittenRecord(0, 3, [(RESENT_HEADER, b"0,1")])
    assert shown([letter(0, 7), letter(1, 8), letter(2, 7), marker, letter(4, 8)]) == []


def test_letters_that_thalweg_did_not_write_are_all_shown() -> None:
    assert shown([WrittenRecord(0, 0, []), WrittenRecord(0, 1, [])]) == [0, 1]
