"""A user who stays away longer than the limit begins anew, as a function of the records alone."""

from typing import Any, NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.engine.codec import decode_batch
from streams.engine.planning.candidates import Part
from tests.support.processing import MemoryStore, feed, processor, record

TTL_MS = 100
START_MS = 10**12
RECENT = 8

drawn_events = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["i1", "i2", "i3", "unknown", None]),
        st.integers(0, 12),  # few ids, so that some occur twice
        st.one_of(st.integers(0, 30), st.integers(90, 230)),  # later than the record before
        st.integers(-60, 0),  # a timestamp that lies back
    ),
    max_size=40,
)


def log_of(drawn: list[Any]) -> list[Any]:
    log, now_ms = [], START_MS
    for offset, (user, item, number, later_ms, back_ms) in enumerate(drawn):
        now_ms += later_ms
        log.append(record(offset, user, item, f"e{number}", now_ms - 500, now_ms + back_ms))
    return log


class Expected(NamedTuple):
    """What the rule says of one applied event."""

    offset: int
    steps: int
    gap_ms: int
    previous_item: str | None


def by_the_rule(log: list[Any]) -> list[Expected]:
    """Apply the rule record by record, in plain Python."""
    users: dict[str, dict[str, Any]] = {}
    applied = []
    for one, outcome in zip(log, decode_batch(log), strict=True):
        user = outcome.user_id
        if one.value is None:
            users.pop(user, None)
            continue
        known = users.get(user)
        if known is not None and one.timestamp > known["newest"] + TTL_MS:
            known = users.pop(user) and None
        if known is None:
            known = users[user] = {"newest": -1, "ids": [], "steps": 0, "time": None, "item": None}
        if outcome.event_id in known["ids"][-RECENT:]:
            continue
        gap_ms = -1 if known["time"] is None else max(0, outcome.event_time_ms - known["time"])
        applied.append(Expected(one.offset, known["steps"], gap_ms, known["item"]))
        known["newest"] = max(known["newest"], one.timestamp)
        known["ids"].append(outcome.event_id)
        known["steps"] += 1
        known["time"] = max(known["time"] or outcome.event_time_ms, outcome.event_time_ms)
        known["item"] = outcome.item_id
    return applied


def found(result: Any) -> list[Expected]:
    columns = (getattr(result.applied, name).tolist() for name in ("offset", "steps", "gap_ms", "previous_item"))
    return sorted(Expected(*values) for values in zip(*columns, strict=True))


@settings(max_examples=300)
@given(drawn_events)
def test_a_whole_log_in_one_batch_follows_the_rule(drawn: list[Any]) -> None:
    log = log_of(drawn)
    result = feed(processor(user_ttl_ms=TTL_MS), MemoryStore(), log, 1)
    assert found(result) == by_the_rule(log)


@settings(max_examples=200)
@given(drawn_events, st.data())
def test_any_division_with_replays_and_evictions_gives_the_same_states(drawn: list[Any], data: st.DataObject) -> None:
    log = log_of(drawn)
    once, rows = MemoryStore(), MemoryStore()
    whole, target = processor(user_ttl_ms=TTL_MS), processor(capacity=40, user_ttl_ms=TTL_MS)
    for one in log:
        feed(whole, once, [one], one.offset + 1)
    start = sequence = 0
    while start < len(log):
        sequence += 1
        end = data.draw(st.integers(start + 1, len(log)))
        feed(target, rows, log[start:end], sequence)
        event = data.draw(st.sampled_from(["on", "crash", "evict"]))
        if event == "crash":
            target = processor(capacity=40, user_ttl_ms=TTL_MS)
            start = data.draw(st.integers(start, end))
            continue
        if event == "evict":
            target.arena.evict(target.arena.capacity, sequence)
        start = end
    assert rows.users.keys() == once.users.keys()
    for user, want in once.users.items():
        got = rows.users[user]
        np.testing.assert_allclose(got.state, want.state, atol=1e-6)
        names = ("steps", "offset", "last_time_ms", "last_item", "last_record_ms", "recent")
        assert [getattr(got, name) for name in names] == [getattr(want, name) for name in names]
    assert dict(target.arena.users()).keys() <= once.users.keys()


def test_without_a_limit_nobody_begins_anew() -> None:
    log = [record(n, "a", "i1", f"e{n}", n, START_MS + n * 10**9) for n in range(5)]
    result = feed(processor(), MemoryStore(), log, 1)
    assert result.applied.steps.tolist() == [0, 1, 2, 3, 4]
    assert result.expired == 0


def test_the_limit_itself_is_not_too_long_and_one_more_is() -> None:
    for away_ms, steps in ((TTL_MS, [0, 1]), (TTL_MS + 1, [0, 0])):
        log = [record(0, "a", "i1", "e0", 5, START_MS), record(1, "a", "i2", "e1", 9, START_MS + away_ms)]
        result = feed(processor(user_ttl_ms=TTL_MS), MemoryStore(), log, 1)
        assert result.applied.steps.tolist() == steps
        assert result.expired == steps.count(0) - 1


def test_an_event_that_is_sent_again_after_the_expiry_is_a_first_event() -> None:
    rows, target = MemoryStore(), processor(user_ttl_ms=TTL_MS)
    feed(target, rows, [record(0, "a", "i1", "same", 5, START_MS)], 1)
    within = feed(target, rows, [record(1, "a", "i1", "same", 5, START_MS + 90)], 2)
    assert (within.already_applied, within.applied.steps.tolist()) == (1, [])
    after = feed(target, rows, [record(2, "a", "i1", "same", 5, START_MS + 101)], 3)
    assert (after.already_applied, after.applied.steps.tolist()) == (0, [0])


def test_a_row_that_was_stored_without_the_time_goes_on() -> None:
    rows, target = MemoryStore(), processor(user_ttl_ms=TTL_MS)
    feed(processor(), rows, [record(0, "a", "i1", "e0", 5, START_MS)], 1)
    rows.users["a"].last_record_ms = -1
    target.arena.insert([rows.users["a"]], 0, 0)
    assert feed(target, rows, [record(1, "a", "i2", "e1", 9, START_MS + 10**6)], 1).applied.steps.tolist() == [1]
    assert feed(target, rows, [record(2, "a", "i2", "e2", 9, START_MS + 2 * 10**6)], 2).applied.steps.tolist() == [0]


def test_parts_of_several_partitions_expire_on_their_own() -> None:
    target = processor(user_ttl_ms=TTL_MS)
    one = [record(0, "a", "i1", "e0", 5, START_MS), record(1, "a", "i2", "e1", 9, START_MS + 10**6)]
    other = [record(0, "b", "i1", "f0", 5, START_MS), record(1, "b", "i2", "f1", 9, START_MS + 50)]
    planned = target.process([Part(0, one, decode_batch(one)), Part(1, other, decode_batch(other))], 1)
    assert planned.applied.steps.tolist() == [0, 0, 0, 1]
    assert {user: int(target.arena.steps[slot]) for user, slot in target.arena.users()} == {"a": 1, "b": 2}
    assert len(target.arena) == 2
