"""Preparation of a log before training. Each step removes the events that it should and no others."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from encoder.data.event_log import Column, EventLog
from encoder.data.preparation import MAX_EVENTS_PER_DAY, Preparation, prepare
from encoder.errors import InputError
from tests.support.logs import event_log

DAY_MS = 86_400_000


def rows_of(log: EventLog) -> list[int]:
    assert log.event_ids is not None
    return [int(event_id) for event_id in log.event_ids]


def steady(user: str, count: int, gap_ms: int, start_ms: int = 0) -> list[tuple[str, str, str, int]]:
    return [(user, f"i{n}", "view", start_ms + n * gap_ms) for n in range(count)]


def in_order(*parts: list[tuple[str, str, str, int]]) -> EventLog:
    return event_log(sorted((row for part in parts for row in part), key=lambda row: row[3]))


def test_by_default_no_event_is_left_out() -> None:
    log = event_log([("u", "a", "view", 5)] * 3)
    prepared, report = prepare(log, Preparation())
    assert prepared is log
    assert (report.events, report.kept, report.repeats, report.items) == (3, 3, 2, 1)
    assert "2 exact repeats (same user, item, action and time): kept" in str(report)
    assert "bots" not in str(report)


def test_of_exact_repetitions_the_first_stays() -> None:
    log = event_log(
        [
            ("u", "a", "view", 5),
            ("v", "a", "view", 5),
            ("u", "a", "view", 5),  # repeats row 0
            ("u", "a", "buy", 5),
            ("u", "b", "view", 5),
            ("u", "a", "view", 5),  # repeats row 0
            ("u", "a", "view", 6),
            ("v", "a", "view", 6),
            ("v", "a", "view", 6),  # repeats row 7
        ]
    )
    prepared, report = prepare(log, Preparation(drop_repeats=True))
    assert rows_of(prepared) == [0, 1, 3, 4, 6, 7]
    assert (report.repeats, report.kept) == (3, 6)
    assert "3 exact repeats (same user, item, action and time): left out" in str(report)


def test_all_events_of_a_bot_and_no_others_are_left_out() -> None:
    log = in_order(
        steady("bot", 11, DAY_MS // 10 - 1, start_ms=7),
        [("bot", "later", "view", 50 * DAY_MS)],
        steady("busy", 11, DAY_MS // 10),  # 11 events, of which at most 10 are within 24 hours
        steady("burst", 10, 0, start_ms=9),
        steady("burst", 10, 0, start_ms=9 + DAY_MS),
        steady("new", 1, 0),
    )
    prepared, report = prepare(log, Preparation(max_events_per_day=10))
    assert (report.bot_users, report.bot_events) == (1, 12)
    assert {prepared.user_ids[code] for code in prepared.user} == {"busy", "burst", "new"}
    assert len(prepared) == len(log) - 12
    assert prepared.user_ids is log.user_ids  # codes keep their meaning
    assert "1 user above 10 events in 24 hours (bots), with 12 events: left out" in str(report)


def test_the_default_bound_of_train_is_above_a_busy_day_of_a_person() -> None:
    person, bot = steady("person", 960, 30_000), steady("bot", MAX_EVENTS_PER_DAY + 1, 80_000)
    prepared, report = prepare(in_order(person, bot), Preparation(max_events_per_day=MAX_EVENTS_PER_DAY))
    assert (len(prepared), report.bot_users, report.bot_events) == (960, 1, MAX_EVENTS_PER_DAY + 1)


def test_users_with_few_events_are_left_out_and_rare_items_are_counted() -> None:
    log = event_log(
        [("u", "a", "view", 1), ("v", "a", "view", 2), ("u", "b", "view", 3), ("w", "c", "view", 4)]
        + [("w", "c", "view", 4)] * 2
    )
    prepared, report = prepare(log, Preparation(drop_repeats=True, min_user_events=2, min_support=2))
    assert rows_of(prepared) == [0, 2]  # without its repetitions, user w has one event
    assert (report.short_users, report.short_events, report.kept) == (2, 2, 2)
    # Rare items stay in the log, and the vocabulary leaves them out.
    assert (report.items, report.rare_items, report.rare_events) == (
        2,
        2,
        2,
    )
    assert "2 users below 2 events, with 2 events: left out" in str(report)
    assert "2 of 2 items below 2 events, with 2 events: too rare to enter the catalogue as new items" in str(report)


def test_missing_values_are_counted_in_the_remaining_events() -> None:
    log = event_log([("u", "a", "view", 1), ("u", "a", "view", 1), ("u", "b", "view", 2), ("u", "c", "view", 3)])
    log = replace(
        log,
        categories=["shoes"],
        category=np.array([0, -1, 0, -1], np.int32),
        price=np.array([1.0, np.nan, np.nan, 2.0]),
        attributes={"brand": Column(["Aurora"], np.array([0, -1, 0, 0], np.int32))},
    )
    assert prepare(log, Preparation(drop_repeats=True))[1].missing == {"category": 1, "price": 1, "brand": 0}
    assert prepare(log, Preparation())[1].missing == {"category": 2, "price": 2, "brand": 1}
    report = prepare(replace(log, attributes={}), Preparation())[1]
    assert report.missing["brand"] == 4
    assert "missing: category in 2, price in 2, brand in 4" in str(report)


def test_an_empty_log_stays_empty_and_an_impossible_bound_is_refused() -> None:
    empty = event_log([("u", "a", "view", 1)])[:0]
    prepared, report = prepare(empty, Preparation(drop_repeats=True, max_events_per_day=1, min_user_events=2))
    assert (len(prepared), report.events, report.items) == (0, 0, 0)
    with pytest.raises(InputError, match="-5 events a day at most"):
        prepare(empty, Preparation(max_events_per_day=-5))


def test_the_report_consists_of_plain_data() -> None:
    _, report = prepare(event_log([("u", "a", "view", 5)] * 2), Preparation(drop_repeats=True))
    plain = msgspec.json.decode(msgspec.json.encode(report))
    assert (plain["repeats"], plain["settings"]["drop_repeats"], plain["missing"]["price"]) == (1, True, 1)
