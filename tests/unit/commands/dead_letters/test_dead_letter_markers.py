"""Which records of the dead-letter topic are dead letters to be shown and sent again."""

from typing import NamedTuple

import pytest

from streams.commands.dead_letters.letter import letter_from_record
from streams.commands.dead_letters.markers import Markers
from streams.contracts.dead_letters import (
    EPOCH_HEADER,
    ERASED_HEADER,
    OFFSET_HEADER,
    PARTITION_HEADER,
    REASON_HEADER,
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


def letter(offset: int, source_offset: int, **changed: bytes) -> WrittenRecord:
    headers = {TOPIC_HEADER: b"events", PARTITION_HEADER: b"0", TIMESTAMP_HEADER: b"5"} | changed
    return WrittenRecord(0, offset, [*headers.items(), (OFFSET_HEADER, b"%d" % source_offset)])


def shown(records: list[WrittenRecord]) -> list[int]:
    markers = Markers(lambda record: set())
    for record in records:
        markers.add(record)
    return [record.offset for record in records if not markers.hides(record, decode_headers(record.headers))]


def test_a_letter_that_a_replay_repeats_counts_once() -> None:
    assert shown([letter(0, 7), letter(1, 8), letter(2, 7), letter(3, 8), letter(4, 9)]) == [0, 1, 4]


def test_a_letter_of_a_topic_that_was_made_again_is_another_letter() -> None:
    """A copy of a topic keeps the timestamps, so only the epoch tells the two records apart."""
    epochs = [letter(0, 7), letter(1, 7, **{EPOCH_HEADER: b"0"}), letter(2, 7, **{EPOCH_HEADER: b"1"})]
    assert shown(epochs) == [0, 2], "a letter without an epoch is of the first incarnation"


def test_a_repeated_letter_is_hidden_when_the_first_one_was_sent_again() -> None:
    marker = WrittenRecord(0, 3, [(RESENT_HEADER, b"0,1")])
    assert shown([letter(0, 7), letter(1, 8), letter(2, 7), marker, letter(4, 8)]) == []


def test_letters_that_thalweg_did_not_write_are_all_shown() -> None:
    assert shown([WrittenRecord(0, 0, []), WrittenRecord(0, 1, [])]) == [0, 1]


@pytest.mark.parametrize(
    "headers",
    [
        [(ERASED_HEADER, b"ab" * 32)],
        [(ERASED_HEADER, b"ab" * 32), (OFFSET_HEADER, b"seven")],
        [(ERASED_HEADER, b"ab" * 32), (OFFSET_HEADER, None)],
        [(ERASED_HEADER, b"ab" * 32), (OFFSET_HEADER, b"-1")],
        [(ERASED_HEADER, b"ab" * 32), (OFFSET_HEADER, b"1"), (EPOCH_HEADER, b"first")],
        [(RESENT_HEADER, b"")],
        [(RESENT_HEADER, b"0,x")],
        [(RESENT_HEADER, b"\xff\xfe")],
    ],
)
def test_a_marker_that_thalweg_did_not_write_is_shown_as_a_letter(headers: list[tuple[str, bytes]]) -> None:
    assert shown([letter(0, 7), WrittenRecord(0, 1, headers)]) == [0, 1]


@pytest.mark.parametrize(
    ("reason", "text", "matches"),
    [
        ("price is -1: Expected `float` >= 0.0", "price", True),
        ("key is 'price', it must be the user_id 'u1'", "price", False),
        ("key is 'price', it must be the user_id 'u1'", "must be the user_id", True),
        ("value is not JSON: JSON is malformed (byte 9), near b'price \\'x\\' not UTF-8'", "not UTF-8", False),
        ("value is not JSON: JSON is malformed (byte 9), near b'price \\'x\\' not UTF-8'", "not JSON", True),
        ('action is {"price": "not JSON"}: Expected `str`, got `object`', "not JSON", False),
        ('action is {"price": "not JSON"}: Expected `str`, got `object`', "Expected `str`", True),
        ('user_id is missing in \'{"price": 1, "attributes": {"price"…', "price", False),
        ("event_time_ms is 9, 9 ms after the record's timestamp 0; the limit is 1 ms", "the limit", True),
        ("key is \"o'clock\", it must be the user_id 'price'", "clock", False),
        ("key is \"o'clock\", it must be the user_id 'price'", "it must", True),
    ],
)
def test_a_reason_matches_outside_of_the_values_that_it_quotes(reason: str, text: str, matches: bool) -> None:
    found = letter_from_record(WrittenRecord(0, 0, []), {REASON_HEADER: reason})
    assert found.matches(text) == matches
    assert found.matches("")
