"""The groups of users that Spark steps give together what the planner of a worker gives."""

import random
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.archive.columns import ArchivedRecord, to_batch
from streams.archive.layout import Span
from streams.commands.backfill.plan import Covered
from streams.commands.backfill.spark import groups
from streams.commands.backfill.spark.groups import Result, step_group
from streams.commands.backfill.spark.pieces import Piece, divide, pieces_of
from streams.engine.arena import StoredUser
from streams.engine.codec import Outcome, Rejected
from streams.engine.planning.candidates import Part
from tests.support.processing import Recurrence, TinyBundle, processor, stored_users
from tests.support.stream.histories import limits, outcomes, timestamp_ms

Log = Sequence[Outcome]
logs = st.lists(outcomes, max_size=25)


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "BLOCK_ROWS", 7)
        patch.setattr(groups, "ROWS_OF_RESULT", 2)
        yield


def records(log: Log) -> list[ArchivedRecord]:
    return [ArchivedRecord(offset, timestamp_ms(offset)) for offset in range(len(log))]


def on_spark(
    logs: Sequence[Log], stages: Sequence[dict[int, Covered]], count: int, user_ttl_ms: int | None = None
) -> list[Result]:
    """The results of all groups, as Spark would give them. A segment has 10 offsets."""
    spans = {p: [Span(at, min(at + 9, len(log) - 1)) for at in range(0, len(log), 10)] for p, log in enumerate(logs)}
    chunks: dict[int, list[bytes]] = {}
    for stage, partition, first, last in pieces_of(spans, stages):
        batch = to_batch("events", partition, records(logs[partition]), logs[partition])
        offsets = batch.column("offset").to_numpy()
        begin, end = np.searchsorted(offsets, [first, last + 1])
        for group, chunk in divide(batch.slice(begin, end - begin), stage, count):
            chunks.setdefault(group, []).append(chunk)
    found: list[Result] = []
    for of_group in chunks.values():
        random.Random(0).shuffle(of_group)  # A shuffle of Spark promises no order.
        found += step_group(TinyBundle(), Recurrence(), "events", of_group, user_ttl_ms)
    return found


def users_of(results: Sequence[Result], stage: int) -> dict[str, StoredUser]:
    """The users who are stored after a stage, if none was stored before."""
    found: dict[str, StoredUser] = {}
    for result in results:
        if result.stage == stage:
            found |= stored_users(result.rows, result.state, result.representation)
    return found


def assert_equal(one: StoredUser, other: StoredUser) -> None:
    np.testing.assert_allclose(one.state, other.state, atol=1e-6)
    np.testing.assert_allclose(one.representation, other.representation, atol=1e-6)
    for column in ("partition", "offset", "steps", "last_time_ms", "last_record_ms", "last_item", "recent"):
        assert getattr(one, column) == getattr(other, column), column


@settings(max_examples=100)
@given(logs, logs, st.integers(1, 4), limits)
def test_groups_give_what_one_pass_gives(first: Log, second: Log, count: int, user_ttl_ms: int | None) -> None:
    once = processor(user_ttl_ms=user_ttl_ms)
    passes = [once.process([Part(p, records(log), log)], p + 1, False) for p, log in enumerate((first, second))]
    results = on_spark((first, second), [{0: Covered(0, len(first)), 1: Covered(0, len(second))}], count, user_ttl_ms)
    arena, users = once.arena, users_of(results, 0)
    expected = {
        user: StoredUser(
            user_id=user,
            recent=[one for one in arena.recent[slot].tolist() if one],
            **{
                name: getattr(arena, name)[slot]
                for name in ("partition", "offset", "steps", "last_time_ms", "last_record_ms")
            },
            **{name: getattr(arena, name)[slot] for name in ("last_item", "state", "representation")},
        )
        for user, slot in arena.users()
    }
    assert users.keys() == expected.keys()
    for user, row in users.items():
        assert_equal(row, expected[user])
    erased = [one for result in results for one in result.erased]
    assert sorted(erased) == sorted(one for stepped in passes for one in stepped.erased)
    strays = {
        (p, record.offset)
        for p, stepped in enumerate(passes)
        for record, _ in stepped.rejected
        if not isinstance((first, second)[p][record.offset], Rejected)
    }
    assert {(record.partition, record.offset) for result in results for record, _ in result.rejected} == strays
    for name, value in {
        "events": sum(len(stepped.applied.event) for stepped in passes),
        "already_applied": sum(stepped.already_applied for stepped in passes),
        "erasures": len(erased),
        "dead_letters": len(strays),
        "rejected": sum(isinstance(one, Rejected) for log in (first, second) for one in log),
        "skipped": sum(len(stepped.skipped) for stepped in passes),
    }.items():
        assert sum(getattr(result.counts, name) for result in results) == value, name


@settings(max_examples=100)
@given(logs, logs, logs, st.integers(1, 3))
def test_users_move_to_another_partition_in_a_later_epoch(before: Log, after: Log, added: Log, count: int) -> None:
    """As with rows that another process stores after the first epoch, and restores in the second one."""
    whole = [*before, *after]
    stages = [{0: Covered(0, len(before))}, {0: Covered(len(before), len(whole)), 1: Covered(0, len(added))}]
    results = on_spark((whole, added), stages, count)
    first = processor()
    first.process([Part(0, records(before), before)], 1, evaluate=False)
    second = processor()
    stored = users_of(results, 0)
    assert stored.keys() == dict(first.arena.users()).keys()
    for row in stored.values():
        row.is_current = False
    changed: set[str] = set()
    for p, (log, begin) in enumerate(((after, len(before)), (added, 0))):
        positions = [ArchivedRecord(begin + at, 10**12) for at in range(len(log))]
        parts = [Part(p, positions, log)]
        second.arena.insert([stored[user] for user in second.missing(parts) if user in stored], p, p + 1)
        stepped = second.process(parts, p + 1, evaluate=False)
        changed |= set(stepped.rows.select(stepped.changed_rows()).user_id)
        for user in [one.user_id for one in stepped.erased]:
            stored.pop(user, None)
    users = users_of(results, 1)
    assert users.keys() == changed & dict(second.arena.users()).keys()
    for user, row in users.items():
        slot = second.arena.slot(user)
        assert slot is not None
        assert (row.partition, row.offset, row.steps) == (
            second.arena.partition[slot],
            second.arena.offset[slot],
            second.arena.steps[slot],
        )
        np.testing.assert_allclose(row.state, second.arena.state[slot], atol=1e-6)


def test_a_segment_that_two_epochs_share_is_two_pieces() -> None:
    spans = {0: [Span(0, 9), Span(10, 19)], 1: [Span(0, 4)]}
    stages = [{0: Covered(2, 15)}, {0: Covered(15, 20), 1: Covered(0, 5)}]
    assert pieces_of(spans, stages) == [
        Piece(0, 0, 2, 9),
        Piece(0, 0, 10, 14),
        Piece(1, 0, 15, 19),
        Piece(1, 1, 0, 4),
    ]


def test_the_offsets_behind_a_log_that_hold_no_row_are_no_piece() -> None:
    spans = {0: [Span(-9, -5), Span(-4, 999), Span(1_000, 1_004)], 1: [Span(-1, 999)]}
    stages = [{0: Covered(-9, 500)}, {0: Covered(500, 1_005), 1: Covered(-1, 1_000)}]
    assert pieces_of(spans, stages) == [
        Piece(0, 0, -9, -5),
        Piece(0, 0, -4, -1),
        Piece(1, 0, 1_000, 1_004),
        Piece(1, 1, -1, -1),
    ]
