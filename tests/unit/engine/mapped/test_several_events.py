"""Records with several events: each record counts as a whole, and its events are stepped one after another."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.representation_updates import RepresentationUpdate
from streams.engine.arena import RECENT
from streams.engine.outputs import OutputEncoder
from streams.engine.planning.candidates import Part
from streams.engine.processor import Processor
from streams.engine.stages import Scored
from tests.support.mapped.records import NOW_MS, order, shop_decoder, shop_record
from tests.support.processing import ITEMS, MemoryStore, Record, feed, processor, record, stored_users

SHOP = shop_decoder()


def fed(target: Processor, rows: MemoryStore, records: list[Record], sequence: int) -> Scored:
    return feed(target, rows, records, sequence, SHOP)


def evaluated_ids(scored: Scored) -> list[str]:
    encoder = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1)
    decoder = msgspec.json.Decoder(EvaluationEvent)
    return [decoder.decode(value or b"").id for _, _, value in encoder.evaluations(scored)]


def test_the_lines_of_an_order_are_stepped_in_order_and_share_the_position_of_the_record() -> None:
    rows = MemoryStore()
    scored = fed(processor(), rows, [order(7, "a", ["i1", "i2", "i3"]), shop_record(8, who="a", sku="i4")], 1)
    applied = scored.applied
    assert applied.item.tolist() == [1, 2, 3, 4]
    assert applied.line.tolist() == [0, 1, 2, 0]
    assert applied.offset.tolist() == [7, 7, 7, 8]
    assert applied.steps.tolist() == [0, 1, 2, 3]
    assert applied.previous_item.tolist() == [None, "i1", "i2", "i3"]
    assert applied.records() == 2
    assert evaluated_ids(scored) == ["events-0-0-7", "events-0-0-7.1", "events-0-0-7.2", "events-0-0-8"]
    assert (rows.users["a"].steps, rows.users["a"].offset) == (4, 8)


def test_the_update_names_the_record_of_the_last_event() -> None:
    scored = fed(processor(), MemoryStore(), [order(7, "a", ["i1", "i2"])], 1)
    [(_, _, value)] = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1).updates(scored)
    update = msgspec.json.decode(value or b"", type=RepresentationUpdate)
    assert (update.source, update.steps) == ("events-0-0-7", 2)


def test_a_replayed_order_is_already_applied_as_a_whole() -> None:
    target, rows = processor(), MemoryStore()
    log = [order(7, "a", ["i1", "i2", "i3"]), order(8, "b", ["i1", "i2"])]
    fed(target, rows, log, 1)
    again = fed(target, rows, log, 2)
    assert (len(again.applied.event), again.already_applied) == (0, 2)
    assert again.rows.select(again.updated_rows()).user_id == ["a", "b"]


def test_an_order_of_any_length_that_was_sent_twice_is_recognised_and_takes_one_place_of_the_window() -> None:
    target, rows = processor(), MemoryStore()
    long = [f"i{1 + n % ITEMS}" for n in range(3 * RECENT)]
    fed(target, rows, [order(0, "a", long, id="order")], 1)
    between = [shop_record(n, who="a", sku="i1") for n in range(1, RECENT)]
    again = fed(target, rows, [*between, order(50, "a", long, id="order")], 2)
    assert (len(again.applied.event), again.already_applied) == (RECENT - 1, 1), "within the window"
    last = fed(target, rows, [shop_record(60, who="a", sku="i1"), order(61, "a", long, id="order")], 3)
    assert (len(last.applied.event), last.already_applied) == (1 + len(long), 0), "behind the window"


def test_an_order_twice_in_one_batch_is_applied_once() -> None:
    log = [order(0, "a", ["i1", "i2"], id="order"), order(1, "b", ["i1"]), order(2, "a", ["i1", "i2"], id="order")]
    scored = fed(processor(), MemoryStore(), log, 1)
    assert (scored.applied.offset.tolist(), scored.already_applied) == ([0, 0, 1], 1)


def test_an_order_in_a_wrong_partition_is_one_dead_letter() -> None:
    target, rows = processor(), MemoryStore()
    fed(target, rows, [shop_record(0, who="a", sku="i1")], 1)
    log = [order(0, "a", ["i1", "i2"])]
    result = target.process([Part(1, log, SHOP.decode_batch(log))], 2)
    [(found, why)] = result.rejected
    assert found is log[0]
    assert "thalweg rekey" in why.reason
    assert not result.applied.event


def test_an_order_with_a_broken_line_is_one_dead_letter_that_names_the_line_and_holds_the_record() -> None:
    broken = shop_record(0, who="a", what="ordered", lines=[{"sku": "i1"}, {"sku": "i2"}, {}])
    broken = broken._replace(headers=(("source", b"till"), ("thalweg-reason", b"an old one")))
    scored = fed(processor(), MemoryStore(), [broken, order(1, "a", ["i4"])], 1)
    assert scored.applied.item.tolist() == [4]
    [letter] = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1).dead_letters(scored)
    headers = dict(letter.headers)
    assert (letter.key, letter.value) == (broken.key, broken.value)
    assert headers["thalweg-reason"].startswith(b"line 3: item_id is missing")
    assert headers["source"] == b"till", "a mapping may read the header when the record is sent again"


def test_an_erasure_between_two_orders_divides_the_history() -> None:
    erasure = Record(b"a key of its own", None, 5, NOW_MS, headers=(("thalweg-erase", b"a"),))
    rows = MemoryStore()
    log = [order(4, "a", ["i1", "i2"], id="order"), erasure, order(6, "a", ["i3", "i4"], id="order")]
    scored = fed(processor(), rows, log, 1)
    assert scored.erased == [("a", 0, 5)]
    assert scored.applied.steps.tolist() == [0, 1, 0, 1]
    assert (rows.users["a"].steps, rows.users["a"].last_item) == (2, "i4")


def test_skipped_records_change_nothing_and_are_told() -> None:
    target = processor()
    log = [shop_record(0, who="a", what="scrolled"), shop_record(1, who="a", what="scrolled")]
    scored = fed(target, MemoryStore(), log, 1)
    assert [one.reason for one in scored.skipped] == ["action", "action"]
    assert (len(scored.applied.event), scored.rejected, len(target.arena)) == (0, [], 0)


records_of_shop = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.one_of(st.none(), st.lists(st.sampled_from(["i1", "i2", "i3", "unknown"]), min_size=1, max_size=5)),
        st.integers(0, 12),  # few ids, so that some occur twice
        st.integers(0, 10**6),
    ),
    max_size=30,
)


def shop_log(drawn: Sequence[Any]) -> list[Record]:
    log = []
    for offset, (user, skus, number, time_ms) in enumerate(drawn):
        if skus is None:
            log.append(Record(b"k", None, offset, NOW_MS, headers=(("thalweg-erase", user.encode()),)))
        else:
            log.append(order(offset, user, skus, id=f"o{number}", at=NOW_MS + time_ms))
    return log


def one_event_a_record(drawn: Sequence[Any]) -> MemoryStore:
    """The states of the same events as records of their own. A list of the last ids of a user tells the repeats."""
    target, rows, offset = processor(), MemoryStore(), 0
    recent: dict[str, list[int]] = {}
    for user, skus, number, time_ms in drawn:
        known = recent.setdefault(user, [])
        if skus is None:
            recent[user] = []
        elif number in known:
            continue
        else:
            recent[user] = [*known[1 - RECENT :], number]
        for sku in skus or [None]:
            offset += 1
            value = record(offset, user, sku, f"event {offset}", NOW_MS + time_ms)
            if sku is not None:
                fields = msgspec.json.decode(value.value or b"") | {"action": "purchase"}
                value = value._replace(value=msgspec.json.encode(fields))
            feed(target, rows, [value], offset)
    return rows


@settings(max_examples=150)
@given(records_of_shop, st.data())
def test_any_division_with_crashes_and_replays_gives_the_states_of_one_event_a_record(
    drawn: list[Any], data: st.DataObject
) -> None:
    log, want = shop_log(drawn), one_event_a_record(drawn)
    target, rows, sequence, start = processor(capacity=30), MemoryStore(), 0, 0
    evaluated: set[str] = set()
    while start < len(log):
        sequence += 1
        end = data.draw(st.integers(start + 1, len(log)))
        scored = fed(target, rows, log[start:end], sequence)
        evaluated.update(evaluated_ids(scored))
        event = data.draw(st.sampled_from(["on", "crash", "replay", "evict"]))
        if event == "crash":  # the memory is lost, and the last records are read again
            target = processor(capacity=30)
        if event == "evict":
            target.arena.evict(target.arena.capacity, sequence)
        start = data.draw(st.integers(start, end)) if event in ("crash", "replay") else end
    target, alone = processor(), MemoryStore()
    once = {event_id for n, one in enumerate(log, 1) for event_id in evaluated_ids(fed(target, alone, [one], n))}
    assert once <= evaluated
    assert rows.users.keys() == want.users.keys()
    for user, expected in want.users.items():
        got = rows.users[user]
        np.testing.assert_allclose(got.state, expected.state, atol=1e-6)
        assert (got.steps, got.last_time_ms, got.last_item) == (
            expected.steps,
            expected.last_time_ms,
            expected.last_item,
        )


@settings(max_examples=100)
@given(records_of_shop)
def test_one_batch_equals_one_record_at_a_time(drawn: list[Any]) -> None:
    log = shop_log(drawn)
    together, alone = MemoryStore(), MemoryStore()
    whole = fed(processor(), together, log, 1) if log else None
    target = processor()
    ids = [event_id for n, one in enumerate(log, 1) for event_id in evaluated_ids(fed(target, alone, [one], n))]
    if whole is not None:
        assert evaluated_ids(whole) == ids
        kept = whole.changed_rows()
        of_whole = stored_users(whole.rows.select(kept), whole.state[kept], whole.representation[kept])
        assert {user: row.recent for user, row in of_whole.items()} == {
            user: row.recent for user, row in alone.users.items()
        }
