"""Which rows `thalweg verify` can judge, and which rows a repair may replace, where the topic lacks first records."""

import uuid

import pytest

from streams.broker.topics import Topic
from streams.commands.verify.growing_arena import GrowingArena
from streams.commands.verify.recompute import Recompute
from streams.commands.verify.result import Verification
from tests.support.processing import BY_CONTRACT, WIDTH, MemoryStore, Record, feed, processor, record


def views(*numbers: int) -> list[Record]:
    """Return records of one user at the offsets 0, 1, ... The number names the event; -1 is an erasure."""
    return [
        record(offset, "u", f"i{number % 5 + 1}" if number >= 0 else None, f"e{number}", 1000 * number)
        for offset, number in enumerate(numbers)
    ]


def judged(records: list[Record], start: int, row_after: int | None = None) -> tuple[Recompute, Verification]:
    """Recompute the user from the records behind offset `start`.

    row_after: the stored row is the one after so many records; by default after all.
    """
    worker, store = processor(), MemoryStore()
    feed(worker, store, records[:row_after], 1)
    return recomputed({0: records[start:]}, {0: start}, store)


def topic_of(starts: dict[int, int], ends: dict[int, int]) -> Topic:
    return Topic(
        name="events",
        topic_id=uuid.UUID(int=0),
        partitions=len(starts),
        start_offsets=starts,
        stable_offsets=ends,
        end_offsets=ends,
        committed=ends,
    )


def recomputed(
    records: dict[int, list[Record]], starts: dict[int, int], store: MemoryStore
) -> tuple[Recompute, Verification]:
    """Recompute the records of each partition, and compare with the stored rows. All records are committed."""
    topic = topic_of(starts, {partition: some[-1].offset + 1 for partition, some in records.items()})
    found = Verification()
    arena = GrowingArena(WIDTH, WIDTH)
    recompute = Recompute(processor(arena=arena), arena, topic, dict(store.users), set(), found)
    for partition, some in records.items():
        recompute.step(partition, some, BY_CONTRACT.decode_batch(some), "all")
    recompute.compare(starts, ())
    return recompute, found


@pytest.mark.parametrize(
    "numbers",
    [(0, 1, 2, 3), (0, 1, 2, 0), (0, 1, 0, 2)],
    ids=["no copy", "copy at the end", "copy in the middle"],
)
def test_a_right_row_is_never_a_difference_where_its_first_event_is_gone(numbers: tuple[int, ...]) -> None:
    """A worker takes an event once. Without the first copy, the second copy looks like a new event."""
    recompute, found = judged(views(*numbers), start=1)
    assert (found.mismatches, found.unverifiable, recompute.wrong) == ([], 1, [])
    whole = judged(views(*numbers), start=0)[1]
    assert (whole.mismatches, whole.unverifiable, whole.events) == ([], 0, len(set(numbers)))


def test_a_row_that_lacks_events_is_a_difference_and_keeps_its_history() -> None:
    recompute, found = judged(views(0, 1, 2, 3, 4), start=2, row_after=3)
    assert (found.mismatched, found.unverifiable, recompute.wrong) == (1, 0, [])
    assert "stored 3 steps" in found.mismatches[0]
    assert "a repair leaves the row as it is" in found.mismatches[0]


def test_a_repair_replaces_a_row_whose_history_the_topic_holds() -> None:
    """The erasure is the user's first record that is left, so what came before does not count."""
    for numbers, start in (((0, 1, 2, 3), 0), ((0, 1, -1, 2, 3, 4), 2)):
        recompute, found = judged(views(*numbers), start, row_after=len(numbers) - 1)
        assert (found.mismatched, found.unverifiable, recompute.wrong) == (1, 0, ["u"])


def test_a_row_from_before_an_erasure_is_replaced() -> None:
    recompute, found = judged(views(0, 1, 2, -1, 3), start=2, row_after=3)
    assert (found.mismatched, recompute.wrong) == (1, ["u"])
    recompute, _ = judged(views(0, 1, 2, -1), start=3, row_after=3)
    assert recompute.lacks_records("u")


@pytest.mark.parametrize("numbers", [(0, 1), (0, -1)], ids=["a row", "erased"])
@pytest.mark.parametrize("partition", [0, 1])
def test_a_stray_without_a_dead_letter_is_no_event(numbers: tuple[int, ...], partition: int) -> None:
    """The dead letter has expired. A worker applied the user's records alone, and rejected the stray between both."""
    first, last = (at._replace(timestamp=1000 * at.offset) for at in views(*numbers))
    stray = record(50, "u", "i2", "stray", 500, timestamp_ms=500)
    store = MemoryStore()
    feed(processor(), store, [first, last], 1)
    for user in store.users.values():
        user.partition = partition
    records = {partition: [first, last], 1 - partition: [stray]}
    recompute, found = recomputed(dict(sorted(records.items())), {0: 0, 1: 0}, store)
    assert (found.mismatches, recompute.wrong) == ([], [])
    is_told = numbers[-1] >= 0 or partition == 0  # Otherwise the erasure takes the stray away.
    assert (found.users, found.dead_letters) == (len(store.users), int(is_told))


def test_a_user_who_came_back_in_another_partition_without_a_row_is_a_difference() -> None:
    away = record(50, "u", "i2", "e9", 9000, timestamp_ms=9000)
    gone = [at._replace(timestamp=1000 * at.offset) for at in views(0, -1)]
    recompute, found = recomputed({0: gone, 1: [away]}, {0: 0, 1: 0}, MemoryStore())
    assert (found.mismatched, recompute.wrong) == (1, ["u"])


def test_the_memory_is_that_of_the_users_and_not_of_the_records() -> None:
    """Each batch steps the users again whose columns were copied since the last batch."""
    records = [record(at, f"u{at % (at // 50 + 1)}", f"i{at % 5 + 1}", f"e{at}", 1000 * at) for at in range(500)]
    worker, store = processor(), MemoryStore()
    feed(worker, store, records, 1)
    arena = GrowingArena(WIDTH, WIDTH)
    topic = topic_of({0: 0}, {0: 500})
    found = Verification()
    recompute = Recompute(processor(arena=arena), arena, topic, dict(store.users), set(), found)
    sizes = []
    for begin in range(0, 500, 50):
        some = records[begin : begin + 50]
        recompute.step(0, some, BY_CONTRACT.decode_batch(some), "all")
        sizes.append(arena.capacity)
    recompute.compare({0: 0}, ())
    assert (found.mismatches, found.users, found.events) == ([], 10, 500)
    assert sizes == [1, 2, 4, 4, 8, 8, 8, 8, 16, 16]
