"""Where `thalweg archive --log` refuses."""

import argparse
import uuid

import pytest

from streams.broker.topics import Topic
from streams.commands.archive.command import moment_ms, run
from streams.commands.archive.log.beginning import check_recognised, check_until
from streams.commands.archive.log.survey import check_beginnings
from streams.config.errors import InputError

HOUR_MS = 3_600_000


def topic(*starts: int) -> Topic:
    found = dict(enumerate(starts))
    return Topic(
        name="events",
        topic_id=uuid.UUID(int=1),
        partitions=len(starts),
        start_offsets=found,
        stable_offsets=dict.fromkeys(found, 100),
        end_offsets=dict.fromkeys(found, 100),
        committed={},
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1700000000000", 1_700_000_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14T23:13:20.5+01:00", 1_700_000_000_500),
    ],
)
def test_a_moment(text: str, expected: int) -> None:
    assert moment_ms(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1700000000", "would be before 2001-09-09"),
        ("2023-11-14T22:13:20", "has no zone: write 2023-11-14T22:13:20Z"),
        ("yesterday", "neither a time of ISO 8601"),
        ("-5", "neither a time of ISO 8601"),
    ],
)
def test_what_is_no_moment(text: str, why: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=why):
        moment_ms(text)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"log": "a.csv"}, "--log needs --until TIME"),
        ({"until_ms": 1}, "--until belongs to --log"),
        ({"format": "csv"}, "--format belongs to --log"),
        ({"mapping": "segment"}, "--mapping belongs to --log LOG; the topic is read by the setting mapping"),
    ],
)
def test_options_of_a_log_without_the_others(given: dict[str, object], why: str) -> None:
    names = ("log", "until_ms", "format", "columns", "mapping")
    with pytest.raises(InputError, match=why):
        run(argparse.Namespace(**(dict.fromkeys(names) | given)))


def test_a_boundary_is_an_hour_ago() -> None:
    check_until(5 * HOUR_MS, 6 * HOUR_MS)
    with pytest.raises(InputError, match=r"--until 1970-01-01T05:00:00.001Z is less than an hour ago"):
        check_until(5 * HOUR_MS + 1, 6 * HOUR_MS)


def test_a_partition_must_show_that_it_has_lost_no_record_behind_the_boundary() -> None:
    """An older record shows that. A partition that begins with offset 0 has lost none."""
    check_beginnings(topic(0, 7, 0), {0: 0, 1: 8, 2: 100}, 10**12)
    with pytest.raises(InputError, match=r"partition 1 of events begins at offset 7, and no record .* 2001-09-09T"):
        check_beginnings(topic(0, 7), {0: 0, 1: 7}, 10**12)
    with pytest.raises(InputError, match="partition 0 of events begins at offset 100"):
        check_beginnings(topic(100), {0: 100}, 10**12)


def test_a_log_with_other_ids_than_the_topic() -> None:
    for counts in ((0, 9, 0), (9, 0, 0), (9, 9, 1)):
        check_recognised(*counts)
    with pytest.raises(InputError, match=r"the log has 9 events .* copied part of the topic 8, and none is the same"):
        check_recognised(9, 8, 0)
