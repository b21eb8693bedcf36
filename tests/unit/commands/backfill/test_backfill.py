"""A backfill gives the users that the planner of a worker gives, record by record, wherever the backfill is stopped."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.archive.columns import ArchivedRecord, to_batch
from streams.commands.backfill import backfill
from streams.commands.backfill.backfill import Backfill
from streams.commands.backfill.plan import Covered
from streams.commands.backfill.progress import Progress
from streams.commands.backfill.row_writer import RowWriter
from streams.commands.backfill.strays import strays_of
from streams.commands.backfill.users import Users
from streams.commands.dead_letters.erasures import possible_user_ids
from streams.commands.dead_letters.letter import letter_from_record
from streams.commands.dead_letters.markers import Markers
from streams.commands.dead_letters.originals import LetterRecord, Originals
from streams.config.errors import SettingsError
from streams.contracts.dead_letters import (
    CONTENT_HEADER,
    OFFSET_HEADER,
    PARTITION_HEADER,
    decode_headers,
    erasure_marker,
)
from streams.contracts.privacy.hidden_letters import Hiding
from streams.contracts.privacy.pseudonyms import Pseudonyms
from streams.contracts.representation_updates import RepresentationUpdate
from streams.engine.arena import NO_OFFSET, Arena, StoredUser
from streams.engine.codec import Rejected
from streams.engine.outputs import OutputEncoder
from streams.engine.planning.candidates import Erased, Part
from streams.engine.planning.rows import Rows
from tests.support.processing import ITEMS, WIDTH, Recurrence, TinyBundle, processor, stored_users
from tests.support.stream.histories import PAGE, Log, event, limits, outcomes, timestamp_ms


class StoppedError(Exception):
    """The process was killed."""


class Cluster:
    """What outlives a kill: rows as Cassandra keeps them, topics, and the offsets of the group."""

    def __init__(self) -> None:
        self.users: dict[str, StoredUser] = {}
        self.erased: dict[str, int] = {}  # by user, the offset of the last erasure
        self.updates: dict[str, bytes | None] = {}
        self.letters: set[tuple[int, int]] = set()
        self.committed: dict[int, int] = {}
        self.calls_left = -1  # calls until the next kill; negative: no kill

    def call(self) -> None:
        self.calls_left -= 1
        if self.calls_left == 0:
            raise StoppedError

    async def read(self, user_ids: Sequence[str]) -> list[StoredUser]:
        self.call()
        return [self.users[user] for user in user_ids if user in self.users]

    def encode(self, rows: Rows, state: Any, vectors: Any, generation_id: int, now_ms: int) -> dict[str, StoredUser]:
        return stored_users(rows, state, vectors)

    async def write(self, rows: dict[str, StoredUser]) -> None:
        for user_id, row in rows.items():  # A kill may come between two rows.
            self.call()
            before = self.users.get(user_id)
            if row.offset > self.erased.get(user_id, NO_OFFSET) and (before is None or row.offset >= before.offset):
                self.users[user_id] = row

    async def erase(self, erased: Sequence[Erased], generation_id: int) -> None:
        for user_id, _, offset in erased:
            self.call()
            self.erased[user_id] = max(offset, self.erased.get(user_id, NO_OFFSET))
            if (row := self.users.get(user_id)) is not None and row.offset <= offset:
                del self.users[user_id]

    async def publish(self, evaluations: list[Any], dead_letters: Sequence[Any]) -> None:
        self.call()
        for letter in dead_letters:
            headers = decode_headers(letter.headers)
            if PARTITION_HEADER in headers:
                self.letters.add((int(headers[PARTITION_HEADER]), int(headers[OFFSET_HEADER])))

    async def update(self, updates: Mapping[int, Sequence[Any]]) -> None:
        self.call()
        for of_partition in updates.values():
            self.updates |= {key.decode(): value for key, value, _ in of_partition}

    async def commit(self, offsets: Mapping[int, int]) -> None:
        offsets = {partition: end for partition, end in offsets.items() if end >= 0}  # as Kafka takes them
        if offsets:
            self.call()
            self.committed |= offsets


class Archive:
    """The part of an archive's reader that a backfill calls. A record stands at each offset."""

    def __init__(self, logs: Sequence[Log], before: Sequence[int]) -> None:
        self._logs = logs
        self._before = before

    def read(self, partition: int, first: int, last: int, rows: int, columns: Any) -> Iterator[pa.RecordBatch]:
        before = self._before[partition]
        for at in range(first + before, last + 1 + before, rows):
            outcomes = self._logs[partition][at : min(at + rows, last + 1 + before)]
            yield to_batch("events", partition, records(len(outcomes), at, before), outcomes).select(columns)


def records(count: int, first: int, before: int) -> list[ArchivedRecord]:
    """Records of a log, from number `first` on. before: how many records of the log have negative offsets."""
    return [ArchivedRecord(number - before, timestamp_ms(number)) for number in range(first, first + count)]


def run(
    cluster: Cluster,
    logs: Sequence[Log],
    before: Sequence[int],
    capacity: int,
    user_ttl_ms: int | None,
    is_fresh: bool = False,
) -> Progress:
    """Run a backfill to its end, from the offsets that are committed. Raises StoppedError.

    before: by partition, how many records have negative offsets.
    """
    progress, encoder = Progress(), OutputEncoder("events", "gru-1", ITEMS, places=0, share=1)
    users = Users(Arena(capacity, WIDTH, WIDTH), RowWriter(cluster, cluster, encoder, 1, progress), is_fresh)
    filling = Backfill(TinyBundle(), Recurrence(), users, "events", cluster.commit, 2, progress, user_ttl_ms)

    async def step() -> None:
        for partition, log in enumerate(logs):
            first, end = cluster.committed.get(partition, -before[partition]), len(log) - before[partition]
            if first < end:
                await filling.run(Archive(logs, before), partition, Covered(first, end))
        await filling.finish()

    try:
        asyncio.run(step())
    finally:
        filling.close()
    return progress


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backfill, "BLOCK_ROWS", 7)
        patch.setattr(backfill, "COMMIT_EVERY_S", 0.0)
        yield


# Write timestamps compare offsets alone, so records of the second partition have higher offsets.
histories = st.tuples(
    st.lists(outcomes, max_size=40), st.lists(outcomes, max_size=10).map(lambda log: [*[PAGE] * 40, *log])
)


@settings(max_examples=150)
@given(histories, st.lists(st.integers(1, 40), max_size=4), st.integers(7, 12), limits, st.integers(0, 40))
def test_a_backfill_that_is_killed_gives_what_one_pass_gives(
    logs: tuple[Log, Log], kills: list[int], capacity: int, user_ttl_ms: int | None, of_log: int
) -> None:
    """Also of an archive that begins with a log, whose events have negative offsets."""
    once, before = processor(user_ttl_ms=user_ttl_ms), [min(of_log, len(logs[0])), 0]
    passes = [
        once.process([Part(p, records(len(log), 0, before[p]), log)], p + 1, evaluate=False)
        for p, log in enumerate(logs)
    ]
    cluster = Cluster()
    for calls in [*kills, -1]:
        cluster.calls_left = calls
        try:
            is_fresh = not cluster.users and not cluster.erased
            progress = run(cluster, logs, before, capacity, user_ttl_ms, is_fresh)
        except StoppedError:
            continue
    arena = once.arena
    assert cluster.users.keys() == dict(arena.users()).keys()
    for user, slot in arena.users():
        row = cluster.users[user]
        np.testing.assert_allclose(row.state, arena.state[slot], atol=1e-6)
        np.testing.assert_allclose(row.representation, arena.representation[slot], atol=1e-6)
        for column in ("partition", "offset", "steps", "last_time_ms", "last_record_ms", "last_item"):
            assert getattr(row, column) == getattr(arena, column)[slot], column
        assert row.recent == [one for one in arena.recent[slot].tolist() if one]
        update = msgspec.json.decode(cluster.updates[f"gru-1/{user}"], type=RepresentationUpdate)
        assert update.steps == row.steps
    gone = {one.user_id for stepped in passes for one in stepped.erased} - cluster.users.keys()
    assert all(cluster.updates[f"gru-1/{user}"] is None for user in gone)
    rejected = {(p, record.offset) for p, stepped in enumerate(passes) for record, why in stepped.rejected}
    assert cluster.letters == {
        (p, offset) for p, offset in rejected if not isinstance(logs[p][offset + before[p]], Rejected)
    }, "only records in a wrong partition become dead letters"
    assert cluster.committed == {p: len(log) - before[p] for p, log in enumerate(logs) if log}
    if not kills:
        assert progress.events == sum(len(stepped.applied.event) for stepped in passes)
        assert progress.already_applied == sum(stepped.already_applied for stepped in passes)
        assert progress.erasures == sum(len(stepped.erased) for stepped in passes)
        assert progress.skipped == sum(len(stepped.skipped) for stepped in passes)
        assert progress.rejected + progress.dead_letters == len(rejected)


@pytest.mark.parametrize("hiding", [None, Hiding(Pseudonyms(bytes(range(32))), "encrypted")])
def test_the_letter_of_a_stray_is_under_the_archives_id_and_cannot_be_sent_again(hiding: Hiding | None) -> None:
    """The archive has neither the bytes of the record nor the plain id."""
    pseudonym = Pseudonyms(bytes(range(32))).of("ann")
    encoder = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1, hiding=hiding)
    record, outcome = ArchivedRecord(7, 10**12), event(pseudonym, "i1", 1, 0, "view")
    strays = strays_of("events", 2, [(record, Rejected("not its partition", "key"))], [record], [outcome])
    [letter] = encoder.letters_without_original(strays)
    headers = decode_headers(letter.headers)
    assert (letter.partition, letter.key, letter.value) == (2, pseudonym.encode(), b"")
    assert (headers[OFFSET_HEADER], headers[CONTENT_HEADER]) == ("7", "dropped")
    stored = LetterRecord(2, 0, 10**12, letter.key, letter.value, letter.headers)
    assert not letter_from_record(stored, headers).whole
    marker = LetterRecord(2, 1, 10**12 + 1, b"", b"", erasure_marker(pseudonym, 0, 9))
    originals = Originals(None if hiding is None else hiding.pseudonyms)
    markers = Markers(lambda one: originals.user_ids(possible_user_ids(one.key, one.value)))
    markers.add(marker)
    assert markers.hides(originals.read(stored), headers), "the erasure of the user reaches the letter"


def test_users_who_do_not_fit_into_memory_are_named() -> None:
    encoder = OutputEncoder("events", "gru-1", 5, 0, 1)
    users = Users(Arena(3, WIDTH, WIDTH), RowWriter(Cluster(), Cluster(), encoder, 1, Progress()), is_fresh=True)

    async def settle() -> None:
        raise AssertionError("no user can be dropped")

    with pytest.raises(SettingsError, match="raise arena_max_users"):
        asyncio.run(users.restore(["a", "b", "c", "d"], 0, 1, settle))
