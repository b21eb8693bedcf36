"""Selection of parts of an event log, its split in time, and its events."""

import numpy as np
import pytest

from encoder.data.event_ids import content_id
from encoder.data.event_log import Column, EventLog, Texts
from encoder.errors import InputError


def make_log(times: list[int]) -> EventLog:
    n = len(times)
    return EventLog(
        user_ids=["ann", "bob"],
        item_ids=["shoe", "sock", "hat"],
        actions=["view", "purchase"],
        categories=["feet"],
        user=np.arange(n, dtype=np.int32) % 2,
        item=np.arange(n, dtype=np.int32) % 3,
        action=np.arange(n, dtype=np.int32) % 2,
        time_ms=np.array(times, dtype=np.int64),
        category=np.where(np.arange(n) % 3 == 2, -1, 0).astype(np.int32),
        price=np.where(np.arange(n) % 2 == 0, np.nan, 9.5),
        source="till",
        session=Column(["s1"], np.where(np.arange(n) == 0, -1, 0).astype(np.int32)),
        attributes={"brand": Column(["Aurora"], np.where(np.arange(n) == 1, 0, -1).astype(np.int32))},
        item_names={"sock": "Aurora socks"},
    )


def test_events_have_every_column_except_missing_values() -> None:
    first, second, third = make_log([10, 20, 30]).events()
    assert first.event_id == content_id("till", "ann", "shoe", "view", 10)
    assert (first.user_id, first.item_id, first.action) == ("ann", "shoe", "view")
    assert (first.event_time_ms, first.price, first.session_id, first.attributes) == (10, None, None, None)
    assert (second.price, second.session_id, second.category) == (9.5, "s1", "feet")
    assert second.attributes == {"brand": "Aurora", "item_name": "Aurora socks"}
    assert third.category is None


def test_a_part_of_a_log_keeps_codes_and_ids() -> None:
    log = make_log([10, 20, 30, 40])
    whole = list(log.events())
    assert list(log[1:3].events()) == whole[1:3]
    assert list(log[log.user == 1].events()) == whole[1::2]
    named = EventLog(**{**vars(log), "event_ids": Texts.of(["a", "b", "c", "d"])})
    assert [event.event_id for event in named[2:].events()] == ["c", "d"]


def test_later_events_are_those_of_the_same_user_in_the_order_of_the_log() -> None:
    assert make_log([10, 20, 20, 20, 30]).later_events().tolist() == [2, 1, 1, 0, 0]
    assert make_log([10, 20, 20, 20, 30])[:2].later_events().tolist() == [0, 0]


@pytest.mark.parametrize(
    ("fraction", "expected"), [(0.0, 0), (0.2, 0), (0.25, 1), (0.5, 1), (0.75, 3), (0.8, 3), (1.0, 4)]
)
def test_split_never_separates_events_of_the_same_millisecond(fraction: float, expected: int) -> None:
    log = make_log([10, 20, 20, 30])
    first, rest = log.split(fraction)
    assert (len(first), len(rest)) == (expected, 4 - expected)
    assert not len(first) or not len(rest) or first.time_ms[-1] < rest.time_ms[0]
    assert list(first.events()) + list(rest.events()) == list(log.events())


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_split_refuses_a_value_that_is_no_fraction(fraction: float) -> None:
    with pytest.raises(InputError, match="from 0 to 1"):
        make_log([1, 2]).split(fraction)


def test_split_refuses_an_empty_log() -> None:
    with pytest.raises(InputError, match="empty log"):
        make_log([]).split(0.5)


def test_the_two_parts_of_a_log_make_the_whole_log() -> None:
    log = make_log([10, 20, 20, 30])
    named = EventLog(**{**vars(log), "event_ids": Texts.of(["a", "b", "c", "d"])})
    for whole in (log, named):
        for cut in (0, 2, 4):
            assert list(whole[:cut].followed_by(whole[cut:]).events()) == list(whole.events())
