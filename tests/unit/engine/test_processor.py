"""Any division of a partition into batches, with replays, restores and evictions, gives the results of one pass."""

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from encoder.metrics.time_mixture import TimeMixture
from export.runtime.inputs import StepInputs
from streams.contracts.evaluation_events import EvaluationEvent
from streams.engine.arena import Arena
from streams.engine.codec import decode_batch
from streams.engine.foresight import Foresight
from streams.engine.outputs import OutputEncoder
from streams.engine.planning.candidates import Part
from streams.engine.planning.plan import Planned
from streams.engine.processor import Processor
from streams.engine.sampling import Sample
from tests.support.processing import ITEMS, WIDTH, MemoryStore, Record, Recurrence, TinyBundle, feed, processor, record


def assert_same_as_in_turn(at_once: Planned, turns: Sequence[Planned], arena: Arena, of_turns: Arena) -> None:
    """Check that a batch has the results of its parts in turn, and leaves the same users in the arena."""
    for name in ("partition", "offset", "item", "gap_ms", "steps", "previous_item", "timestamp_ms"):
        alone = [value for turn in turns for value in getattr(turn.applied, name).tolist()]
        assert getattr(at_once.applied, name).tolist() == alone, name
    assert at_once.rejected == [rejected for turn in turns for rejected in turn.rejected]
    assert at_once.erased == [erased for turn in turns for erased in turn.erased]
    assert at_once.already_applied == sum(turn.already_applied for turn in turns)
    assert dict(arena.users()).keys() == dict(of_turns.users()).keys()
    for user, slot in arena.users():
        same = of_turns.slot(user)
        np.testing.assert_allclose(arena.state[slot], of_turns.state[same], atol=1e-6)
        for column in ("partition", "offset", "steps", "last_time_ms", "last_item", "recent"):
            np.testing.assert_array_equal(getattr(arena, column)[slot], getattr(of_turns, column)[same], column)


events = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "e"]),
        st.sampled_from(["i1", "i2", "i3", "unknown", None]),
        st.integers(0, 30),  # few ids, so that some occur twice
        st.integers(0, 10**6),
    ),
    max_size=40,
)


@settings(max_examples=150)
@given(events, st.data())
def test_any_division_with_replays_and_evictions_equals_one_pass(drawn: list[Any], data: st.DataObject) -> None:
    log = [record(i, user, item, f"e{n}", t) for i, (user, item, n, t) in enumerate(drawn)]
    once = MemoryStore()
    expected_ids = []
    whole = processor()
    for one in log:  # one event at a time
        expected_ids += feed(whole, once, [one], one.offset + 1).applied.offset.tolist()

    rows, target, sequence, start = MemoryStore(), processor(capacity=40), 0, 0
    evaluated: dict[int, int] = {}
    while start < len(log):
        sequence += 1
        end = data.draw(st.integers(start + 1, len(log)))
        result = feed(target, rows, log[start:end], sequence)
        for offset, rank in zip(result.applied.offset.tolist(), result.rank.tolist(), strict=True):
            evaluated.setdefault(offset, rank)
        event = data.draw(st.sampled_from(["on", "crash", "replay", "evict"]))
        if event == "crash":  # the memory is lost, and the last records are read again
            target = processor(capacity=40)
        if event == "evict":
            target.arena.evict(target.arena.capacity, sequence)
        start = data.draw(st.integers(start, end)) if event in ("crash", "replay") else end
        if event in ("crash", "replay") and start < end:
            feed(target, rows, log[start:end], sequence + 1)
            sequence, start = sequence + 1, end

    assert rows.users.keys() == once.users.keys()
    for user, want in once.users.items():
        got = rows.users[user]
        np.testing.assert_allclose(got.state, want.state, atol=1e-6)
        np.testing.assert_allclose(got.representation, want.representation, atol=1e-6)
        assert (got.steps, got.offset, got.last_time_ms, got.last_item) == (
            want.steps,
            want.offset,
            want.last_time_ms,
            want.last_item,
        )
        assert got.recent == want.recent
    assert set(expected_ids) <= set(evaluated)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 2), events), max_size=6))
def test_parts_in_one_batch_equal_parts_in_turn(drawn: list[tuple[int, list[Any]]]) -> None:
    """Some users have events in other partitions, and one user is known before."""
    first = [record(0, "a", "i1", "known", 0)]
    parts, offsets = [], [1, 1, 1]
    for partition, of_part in drawn:
        log = []
        for user, item, n, time_ms in of_part:
            log.append(record(offsets[partition], user, item, f"e{n}", time_ms))
            offsets[partition] += 1
        parts.append(Part(partition, log, decode_batch(log)))
    one, other = processor(), processor()
    for target in (one, other):
        target.process([Part(1, first, decode_batch(first))], 1)
    at_once = one.process(parts, 2)
    turns = [other.process([part], number) for number, part in enumerate(parts, 2)]
    assert_same_as_in_turn(at_once, turns, one.arena, other.arena)
    assert one.score(at_once).rank.tolist() == [rank for turn in turns for rank in other.score(turn).rank.tolist()]


@settings(max_examples=150)
@given(events, st.data())
def test_records_that_are_repeated_within_a_batch_change_nothing(drawn: list[Any], data: st.DataObject) -> None:
    log = [record(i, user, item, f"e{n}", t) for i, (user, item, n, t) in enumerate(drawn)]
    back = data.draw(st.integers(0, len(log)))
    again = data.draw(st.integers(0, back))
    broken = Record(b"a", b"{", len(log), 10**12)
    log = [*log[:back], *log[again:back], *log[back:], broken]
    one, other = processor(), processor()
    whole = one.process([Part(0, log, decode_batch(log))], 1)
    turns = [other.process([Part(0, [r], decode_batch([r]))], number) for number, r in enumerate(log, 1)]
    assert_same_as_in_turn(whole, turns, one.arena, other.arena)


def test_a_long_repetition_within_a_batch_is_recognised_by_its_offsets() -> None:
    log = [record(n, "a", "i1", f"e{n}", n) for n in range(20)]  # more ids than a user's row keeps
    result = feed(processor(), MemoryStore(), log + log, 1)
    assert (result.applied.offset.tolist(), result.already_applied) == (list(range(20)), 20)
    assert result.rows.replayed.tolist() == [True]


def test_the_rank_is_computed_before_the_step_and_unknown_items_have_none() -> None:
    target, rows = processor(), MemoryStore()
    result = feed(target, rows, [record(0, "a", "i1", "x", 5), record(1, "a", "unknown", "y", 9)], 1)
    scores = TinyBundle.initial_representation @ Recurrence.vectors[1:].T
    assert result.rank.tolist() == [int((scores >= scores[0]).sum()), 0]
    assert result.applied.steps.tolist() == [0, 1]
    assert result.applied.gap_ms.tolist() == [-1, 4]
    assert result.applied.previous_item.tolist() == [None, "i1"]


def test_only_the_sample_is_ranked_and_has_the_same_ranks_as_without_sampling() -> None:
    class Counting(Recurrence):
        ranked = 0

        def predict(self, representation: NDArray[np.float32], item: NDArray[np.int64]) -> Any:
            self.ranked += len(item)
            return super().predict(representation, item)

    log = [record(i, "abc"[i % 3], f"i{1 + i % 4}", f"e{i}", i * i) for i in range(200)]
    everything = feed(processor(), MemoryStore(), log, 1)
    graphs = Counting()
    arena, sample = Arena(100, WIDTH, WIDTH), Sample("events", 0.1)
    target = Processor(TinyBundle(), graphs, arena, sample)
    rows, evaluated, published = MemoryStore(), {}, []
    encoder = OutputEncoder("events", "gru-1", ITEMS, places=0, share=0.1)
    for sequence, start in enumerate(range(0, 200, 30), 1):
        result = feed(target, rows, log[start : start + 30], sequence)
        offsets = result.applied.offset[result.evaluated].tolist()
        evaluated.update(zip(offsets, result.rank.tolist(), strict=True))
        published += [
            msgspec.json.decode(value or b"", type=EvaluationEvent) for _, _, value in encoder.evaluations(result)
        ]
    assert list(evaluated) == sample.due(np.zeros(200, np.int64), np.arange(200)).tolist()
    assert graphs.ranked == len(evaluated) > 5
    assert evaluated == {at: everything.rank[at] for at in evaluated}
    assert {event.id: (event.rank, event.share) for event in published} == {
        f"events-0-0-{offset}": (rank, 0.1) for offset, rank in evaluated.items()
    }
    np.testing.assert_allclose(rows.users["a"].state, everything.state[0], atol=1e-6)


def test_a_repeated_event_is_already_applied_and_a_late_event_has_a_gap_of_zero() -> None:
    target, rows = processor(), MemoryStore()
    log = [record(0, "a", "i1", "x", 50), record(1, "a", "i1", "x", 50), record(2, "a", "i2", "y", 20)]
    result = feed(target, rows, log, 1)
    assert result.already_applied == 1
    assert result.applied.gap_ms.tolist() == [-1, 0]
    assert rows.users["a"].last_time_ms == 50


def test_an_erased_user_starts_without_history_and_is_removed_from_memory() -> None:
    target, rows = processor(), MemoryStore()
    feed(target, rows, [record(0, "a", "i1", "x", 5), record(1, "b", "i1", "z", 5)], 1)
    slot = target.arena.slot("a")
    result = feed(target, rows, [record(2, "a", None, "", 0)], 2)
    assert result.erased == [("a", 0, 2)]
    assert "a" not in rows.users
    assert target.arena.slot("a") is None
    assert not target.arena.state[slot].any()
    result = feed(target, rows, [record(3, "a", "i2", "w", 9)], 3)
    assert result.applied.steps.tolist() == [0]


def test_a_user_that_an_older_epoch_stored_in_another_partition_keeps_the_history() -> None:
    target, rows = processor(), MemoryStore()
    feed(target, rows, [record(9, "a", "i1", "x", 5)], 1)
    target.arena.forget("a")
    target.arena.insert([msgspec.structs.replace(rows.users["a"], is_current=False)], 1, 2)
    log = [record(0, "a", "i2", "y", 6)]
    result = target.process([Part(1, log, decode_batch(log))], 2)
    assert (result.applied.offset.tolist(), result.applied.steps.tolist()) == ([0], [1])


def test_a_step_gets_only_the_features_of_its_events() -> None:
    class BundleWithFeatures(TinyBundle):
        features = ("category", "price")
        category_index: ClassVar = {"cups": 1, "pots": 2}

    class Recording(Recurrence):
        steps: ClassVar[list[Any]] = []

        def step(self, inputs: StepInputs, state: NDArray[np.float32]) -> Any:
            self.steps.append({name: values.tolist() for name, values in inputs.features.items()})
            return super().step(inputs, state)

    graphs = Recording()
    target = Processor(BundleWithFeatures(), graphs, Arena(9, WIDTH, WIDTH))
    log = []
    for offset, (user, fields) in enumerate(
        [
            ("a", {"category": "pots", "price": 2}),
            ("b", {"category": "cups"}),
            ("a", {"category": "hats", "price": 0.5}),
        ]
    ):
        plain = record(offset, user, "i1", f"e{offset}", offset)
        assert plain.value is not None
        log.append(plain._replace(value=msgspec.json.encode({**msgspec.json.decode(plain.value), **fields})))
    target.process([Part(0, log, decode_batch(log))], 1)
    [first, second] = graphs.steps
    assert first["category"] == [2, 1]
    assert (first["price"][0], np.isnan(first["price"][1])) == (2.0, True)
    assert second == {"category": [0], "price": [0.5]}


def test_an_event_in_a_partition_of_another_user_becomes_a_dead_letter() -> None:
    target, rows = processor(), MemoryStore()
    feed(target, rows, [record(9, "a", "i1", "x", 5)], 1)
    log = [record(0, "a", "i2", "y", 6)]
    result = target.process([Part(1, log, decode_batch(log))], 2)
    assert result.applied.offset.tolist() == []
    [(_, why)] = result.rejected
    assert (why.field, "'a' belongs to partition 0" in why.reason) == ("partition", True), why.reason


def test_a_repeated_record_publishes_its_users_row_again() -> None:
    target, rows = processor(), MemoryStore()
    log = [record(0, "a", "i1", "x", 5), record(1, "b", "i1", "z", 5), record(2, "a", "i2", "y", 6)]
    feed(target, rows, log, 1)
    result = feed(target, rows, [*log[:2], record(3, "c", "i1", "w", 9)], 2)
    assert result.rows.select(result.changed_rows()).user_id == ["c"]
    assert result.rows.select(result.updated_rows()).user_id == ["a", "b", "c"]
    np.testing.assert_array_equal(result.representation[0], rows.users["a"].representation)


def test_action_and_time_are_predicted_before_the_step_and_a_first_event_has_no_time() -> None:
    target, rows = processor(), MemoryStore()
    log = [record(0, "a", "i1", "x", 5_000), record(1, "a", "i2", "y", 25_000), record(2, "a", "i3", "z", 25_000)]
    other = msgspec.json.encode(msgspec.json.decode(log[1].value or b"") | {"action": "wave"})
    result = feed(target, rows, [log[0], log[1]._replace(value=other), log[2]], 1)
    encoder = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1)
    first, second, third = (
        msgspec.json.decode(value or b"", type=EvaluationEvent) for _, _, value in encoder.evaluations(result)
    )
    assert (first.action_probability, first.predicted_action) == (pytest.approx(0.7), "view")
    assert (first.time_log_likelihood, first.time_quantile, first.expected_gap_ms) == (None, None, None)
    assert (second.action_probability, second.predicted_action) == (pytest.approx(0.1), "view"), (
        "the probability is that of an unknown action"
    )

    whole = processor()
    before = feed(whole, MemoryStore(), log[:1], 1).representation
    foreseen = TimeMixture(Recurrence().heads(before)[1])
    assert second.time_log_likelihood == pytest.approx(foreseen.log_density(20.0)[0], abs=1e-3)
    assert second.time_quantile == pytest.approx(foreseen.cumulative(20.0)[0], abs=1e-3)
    assert second.expected_gap_ms == pytest.approx(foreseen.median_s()[0] * 1000, abs=1)
    assert third.time_quantile == 0.0, "the gap is zero"


def test_a_representation_of_nan_has_no_time_and_raises_no_error() -> None:
    nothing = np.full((1, 4), np.nan, np.float32)
    foresight = Foresight.score(
        nothing, np.full((1, 12), np.nan, np.float32), np.array([1]), np.array([5]), ["a", "b", "c"]
    )
    [(_, _, *time)] = zip(*foresight.columns(), strict=True)
    assert time == [None, None, None]


def test_an_evaluation_event_without_heads_has_only_the_required_fields() -> None:
    target, rows = processor(), MemoryStore()
    result = feed(target, rows, [record(0, "a", "i1", "x", 5)], 1)
    result = msgspec.structs.replace(result, foresight=None)
    [(_, _, value)] = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1).evaluations(result)
    required = [field.name for field in msgspec.structs.fields(EvaluationEvent) if field.required]
    assert list(msgspec.json.decode(value or b"")) == required
