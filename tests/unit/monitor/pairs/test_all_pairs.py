"""Pairs of bundles: events meet by their ids in any order, once, in bounded memory, and count in blocks of users."""

import random
from collections.abc import Iterable

import pytest

from streams.contracts.comparisons import MAX_BUNDLES, BundleComparison
from streams.contracts.evaluation_events import EvaluationEvent
from streams.monitor.pairs import matching, user_blocks
from streams.monitor.pairs.all_pairs import SILENT_MS, AllPairs
from streams.monitor.pairs.distinct_users import DistinctUsers
from streams.monitor.pairs.matching import WaitingEvents
from streams.monitor.pairs.user_blocks import BLOCK_EVENTS, BLOCK_MS
from tests.support.monitoring.evaluations import evaluation

SLICES = ("action=view", "history=known")


def scores(bundle_id: str, ranks: Iterable[int | None], user_id: str = "u", step_ms: int = 1) -> list[EvaluationEvent]:
    """Return the events of one bundle, with these ranks at the offsets from 0 on."""
    return [
        evaluation(offset, rank=rank, bundle_id=bundle_id, user_id=user_id, event_time_ms=offset * step_ms)
        for offset, rank in enumerate(ranks)
    ]


def observed(*events: EvaluationEvent, pairs: AllPairs | None = None) -> AllPairs:
    """Each event's record comes a minute after the event. Without pairs, nothing was seen before."""
    pairs = pairs or AllPairs()
    for event in events:
        pairs.observe(event, event.event_time_ms + 60_000, SLICES)
    return pairs


def known(*bundle_ids: str) -> AllPairs:
    """Pairs of bundles that have been seen, each with an event of its own: the first one's did not wait."""
    events = [evaluation(10**6 + at, bundle_id=name, event_time_ms=0) for at, name in enumerate(bundle_ids)]
    return observed(*events)


def both(first: list[EvaluationEvent], second: list[EvaluationEvent], lag: int = 0) -> list[EvaluationEvent]:
    """The events of both bundles, the second one so many events behind."""
    late = [*[None] * lag, *second]
    return [event for pair in zip([*first, *[None] * lag], late, strict=True) for event in pair if event]


def only(pairs: AllPairs) -> BundleComparison:
    [report] = pairs.reports(7)
    return report


@pytest.mark.parametrize("lag", [0, 3, 19])
def test_both_bundles_are_compared_on_the_events_that_both_have_scored_however_late_one_is(lag: int) -> None:
    first, second = [1, 2, None, 30] * 5 + [1, 1], [2, 2, 1, 10] * 5 + [1, 1]
    found = only(observed(*both(scores("a", first), scores("b", second), lag), pairs=known("a", "b")))
    blocks = 22 // BLOCK_EVENTS
    counted = range(blocks * BLOCK_EVENTS)
    expected = [sum(1 / r if r and r <= 20 else 0 for r in (ranks[n] for n in counted)) for ranks in (first, second)]
    assert (found.champion, found.challenger, found.published_at_ms) == ("a", "b", 7)
    assert (found.events, found.user_blocks, found.users) == (len(counted), blocks, 1)
    assert found.open_events == 22 - len(counted)
    assert found.champion_mean == pytest.approx(expected[0] / len(counted))
    assert found.challenger_mean == pytest.approx(expected[1] / len(counted))
    assert found.mean_difference == pytest.approx((expected[1] - expected[0]) / len(counted))
    assert found.low < 0 < found.mean_difference < found.high
    assert (found.champion_unknown_items, found.challenger_unknown_items) == (5, 0)
    assert (found.first_time_ms, found.last_time_ms, found.last_scored_at_ms) == (0, 21, 60_021)
    assert set(found.slices) == set(SLICES)
    assert {(part.events, part.mean_difference) for part in found.slices.values()} == {
        (found.events, found.mean_difference)
    }


def test_the_delay_is_that_of_the_records_of_the_same_event() -> None:
    pairs = observed(*both(scores("a", [1] * 3), scores("b", [1] * 3)), pairs=known("a", "b"))
    for offset in range(3, 30):
        pairs.observe(evaluation(offset, bundle_id="b"), 5_000, SLICES)
        pairs.observe(evaluation(offset, bundle_id="a"), 2_000, SLICES)
    delay_ms = only(pairs).challenger_delay_ms
    assert delay_ms == pytest.approx(3_000 * 27 / 30)


def test_events_that_one_bundle_alone_has_scored_do_not_count_and_are_counted_as_unmatched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matching, "MAX_WAITING", 10)
    first, second = scores("a", [1] * 100), scores("b", [2] * 100)[::4]
    pairs = observed(*first[:20])
    assert len(pairs._waiting) == 0, "no event waits while one bundle is alone"
    observed(second[0], *first[20:50], *second[10:], pairs=pairs)
    found = only(pairs)
    matched = [40, 44, 48]
    assert found.events + found.open_events == len(matched)
    assert len(pairs._waiting) == 10, "the memory is bounded"
    assert found.unmatched_events == (1 + 30 + 15) - 2 * len(matched) - 10


def test_a_bundle_that_scores_old_events_again_gets_no_evidence_from_them() -> None:
    pairs = known("a", "b")
    for offset in range(20):
        pairs.observe(evaluation(offset, rank=9, bundle_id="a"), offset, SLICES)
    replayed_ms = matching.WITHIN_MS + 10  # so the first ten events are too old, and the others are not
    for offset in range(20):
        pairs.observe(evaluation(offset, rank=1, bundle_id="b"), replayed_ms, SLICES)
    found = only(pairs)
    assert found.events + found.open_events == 10
    assert (len(pairs._waiting), found.unmatched_events) == (1, 20), "ten scores of each bundle"
    pairs.observe(evaluation(99, bundle_id="a"), 3 * replayed_ms, SLICES)
    assert (len(pairs._waiting), only(pairs).unmatched_events) == (1, 21)


def test_the_time_of_the_last_compared_event_moves_with_compared_events_alone() -> None:
    pairs = known("a", "b")
    assert only(pairs).last_scored_at_ms is None
    for bundle_id, record_ms in (("b", 70_000), ("a", 75_000)):
        pairs.observe(evaluation(1, bundle_id=bundle_id), record_ms, SLICES)
    assert only(pairs).last_scored_at_ms == 70_000, "a score with a clock that is ahead makes it no later"
    for offset in range(2, 9):
        pairs.observe(evaluation(offset, bundle_id="a"), offset * matching.WITHIN_MS, SLICES)
    found = only(pairs)
    assert (found.last_scored_at_ms, found.unmatched_events) == (70_000, 6)


def test_scores_that_are_far_apart_do_not_count_although_the_records_come_in_another_order() -> None:
    pairs = known("a", "b")
    pairs.observe(evaluation(1, bundle_id="a"), matching.WITHIN_MS + 1, SLICES)
    pairs.observe(evaluation(1, bundle_id="b"), 0, SLICES)
    pairs.observe(evaluation(2, bundle_id="b"), 2 * matching.WITHIN_MS, SLICES)
    pairs.observe(evaluation(2, bundle_id="a"), matching.WITHIN_MS, SLICES)
    found = only(pairs)
    assert (found.events + found.open_events, found.unmatched_events) == (1, 3), "one of `known` among them"


def test_events_in_any_order_give_the_same_numbers() -> None:
    choose = random.Random(4)
    ranks = [[choose.choice([1, 2, 5, 40, None]) for _ in range(60)] for _ in range(2)]
    events = [*scores("a", ranks[0], step_ms=0), *scores("b", ranks[1], step_ms=0)]
    first = only(observed(*events, pairs=known("a", "b")))
    rest = events[1:]
    choose.shuffle(rest)
    second = only(observed(events[0], *rest, pairs=known("a", "b")))
    assert (first.events, first.open_events) == (second.events, second.open_events) == (60, 0)
    assert first.mean_difference == pytest.approx(second.mean_difference)
    assert (first.low, first.high) != (second.low, second.high), "the blocks are others"


def test_a_block_ends_with_its_last_event_or_an_hour_after_its_first_one() -> None:
    pairs = observed(*both(scores("a", [1] * 2), scores("b", [2] * 2)), pairs=known("a", "b"))
    later = [evaluation(9, bundle_id=b, user_id="other", event_time_ms=BLOCK_MS) for b in "ab"]
    assert only(observed(*later[:1], pairs=pairs)).events == 0
    found = only(observed(*later[1:], pairs=pairs))
    assert (found.user_blocks, found.events, found.open_events) == (1, 2, 1)
    assert found.mean_difference == -0.5
    own = [evaluation(10, bundle_id=b, user_id="other", event_time_ms=2 * BLOCK_MS) for b in "ab"]
    found = only(observed(*own, pairs=pairs))
    assert (found.user_blocks, found.events, found.open_events) == (2, 3, 1)
    assert found.users == 2


def test_a_clock_that_is_ahead_ends_no_later_block_early() -> None:
    pairs = observed(*both(scores("a", [1] * 2), scores("b", [2] * 2)), pairs=known("a", "b"))
    ahead = [evaluation(2, bundle_id=b, user_id="ahead", event_time_ms=86_400_000) for b in "ab"]
    for event in ahead:
        pairs.observe(event, 60_002, SLICES)
    assert only(pairs).events == 0, "the time of the record counts"


def test_open_blocks_are_bounded_and_an_erased_user_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_blocks, "MAX_OPEN", 3)
    pairs = known("a", "b")
    for offset in range(1, 6):
        observed(*(evaluation(offset, bundle_id=b, user_id=f"u{offset}") for b in "ab"), pairs=pairs)
    assert (only(pairs).events, only(pairs).open_events) == (2, 3)
    pairs.forget("a", "u5")
    pairs.forget("c", "u4")
    assert (only(pairs).events, only(pairs).open_events) == (2, 2)


def test_every_pair_is_compared_with_the_first_seen_as_champion_up_to_a_number_of_bundles() -> None:
    names = [f"b{number}" for number in range(MAX_BUNDLES + 1)]
    pairs = AllPairs()
    for offset in range(2 * BLOCK_EVENTS):
        observed(*(evaluation(offset, bundle_id=name) for name in names), pairs=pairs)
    reports = pairs.reports(0)
    assert [(one.champion, one.challenger) for one in reports] == [
        ("b0", "b1"), ("b0", "b2"), ("b1", "b2"), ("b0", "b3"), ("b1", "b3"), ("b2", "b3"),
    ]  # fmt: skip
    found = [one.events + one.open_events for one in reports]
    whole = 2 * BLOCK_EVENTS
    assert found == [whole - 1, whole - 1, whole, whole - 1, whole, whole], "the first event of b0 did not wait"
    assert len(pairs._waiting) == 1, "an event that all known bundles have scored waits no longer"
    pairs.drop("b1")
    observed(evaluation(99, bundle_id="b4"), pairs=pairs)
    left = {(one.champion, one.challenger) for one in pairs.reports(0)}
    assert left == {("b0", "b2"), ("b0", "b3"), ("b2", "b3"), ("b0", "b4"), ("b2", "b4"), ("b3", "b4")}


def test_a_bundle_that_is_silent_for_long_such_as_a_retired_one_gives_its_place_to_a_further_bundle() -> None:
    names = [f"b{number}" for number in range(MAX_BUNDLES)]
    pairs = known(*names)
    others = [evaluation(1, bundle_id=name, event_time_ms=SILENT_MS - 1) for name in names if name != "b1"]
    observed(*others, evaluation(1, bundle_id="new", event_time_ms=SILENT_MS - 1), pairs=pairs)
    assert "new" not in {one.challenger for one in pairs.reports(0)}, "b1 may be in a restart"
    for offset in range(2, 12):
        events = (evaluation(offset, bundle_id=b, event_time_ms=SILENT_MS) for b in ("b0", "b2", "b3", "new"))
        observed(*events, pairs=pairs)
    found = {(one.champion, one.challenger): one.events + one.open_events for one in pairs.reports(0)}
    assert set(found) == {("b0", "b2"), ("b0", "b3"), ("b2", "b3"), ("b0", "new"), ("b2", "new"), ("b3", "new")}
    assert found["b2", "new"] >= 9
    observed(evaluation(12, bundle_id="b1", event_time_ms=SILENT_MS), pairs=pairs)
    assert not any("b1" in (one.champion, one.challenger) for one in pairs.reports(0)), "nobody else is silent"


def test_a_chosen_pair_is_compared_alone_in_its_order_and_keeps_what_is_known() -> None:
    pairs = AllPairs()
    pairs.choose(("b", "a"))
    observed(evaluation(98, bundle_id="a"), evaluation(99, bundle_id="b"), pairs=pairs)
    events = both(scores("a", [1] * 12), scores("b", [2] * 12))
    observed(events[0], evaluation(0, bundle_id="c"), *events[1:], pairs=pairs)
    found = only(pairs)
    assert (found.champion, found.challenger, found.mean_difference) == ("b", "a", 0.5)
    pairs.choose(("b", "a"))
    assert only(pairs) == found
    pairs.choose(None)
    observed(evaluation(50, bundle_id="c"), pairs=pairs)
    assert [(one.champion, one.challenger) for one in pairs.reports(7)] == [("b", "a"), ("a", "c"), ("b", "c")]
    assert pairs.reports(7)[0] == found
    pairs.choose(("a", "b"))
    assert (only(pairs).champion, only(pairs).events) == ("a", 0)


def test_a_bundle_that_is_dropped_waits_no_longer() -> None:
    waiting = WaitingEvents()
    for bundle_id, offset in (("a", 1), ("b", 1), ("b", 2)):
        waiting.match(f"e-0-0-{offset}", matching.Scored(bundle_id, 1, 0, ()), 3)
    waiting.drop("b")
    assert len(waiting) == 1
    [left] = waiting.match("e-0-0-1", matching.Scored("c", 1, 0, ()), 2)
    assert left.bundle_id == "a"


@pytest.mark.parametrize("users", [0, 1, 1_000, 200_000])
def test_the_number_of_users_is_estimated_within_a_hundredth(users: int) -> None:
    found = DistinctUsers()
    for number in range(users):
        found.add(f"user-{number}")
        if number % 10 == 0:
            found.add(f"user-{number}")
    assert found.count == pytest.approx(users, rel=0.01)
