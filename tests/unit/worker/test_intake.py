"""Record batches that wait are joined by partition and generation; nothing is lost, repeated or overtaken."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.worker.intake import JOINED_EVENTS, Delivery, Draw, Intake

Offer = tuple[int, int, int]  # partition, generation, records


def play(offers: Sequence[Offer], most_events: int, slow: bool) -> tuple[list[list[Delivery]], list[int]]:
    """What `take` drew, and which offers were acknowledged."""
    taken: list[list[Delivery]] = []
    acked: list[int] = []
    at_work: set[int] = set()
    turn = asyncio.Lock()

    async def take(draw: Draw) -> None:
        async with turn:
            if slow:
                await asyncio.sleep(0.0005)
            drawn = draw()
        partitions = {delivery.partition for delivery in drawn}
        assert len(partitions) == len(drawn) > 0
        assert not at_work & partitions, "a partition's batches are taken one after another"
        at_work.update(partitions)
        taken.append(drawn)
        await asyncio.sleep(0.0005 if slow else 0)
        at_work.difference_update(partitions)
        for delivery in drawn:
            delivery.ack()

    def ack(index: int, last: int) -> None:
        assert any(last in delivery.records for drawn in taken for delivery in drawn), "not all of it was taken"
        acked.append(index)

    async def run() -> None:
        intake = Intake(take, most_events)
        number = 0
        for index, (partition, generation_id, count) in enumerate(offers):
            records = list(range(number, number + count))
            number += count
            await intake.offer(
                Delivery(partition, generation_id, records, partial(ack, index, number - 1), lambda: True)
            )
        await asyncio.wait_for(intake.idle(), timeout=5)

    asyncio.run(run())
    return taken, acked


@given(
    offers=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 2), st.integers(1, 30)), max_size=20),
    most_events=st.integers(1, 60),
    slow=st.booleans(),
)
def test_every_record_is_taken_once_in_its_partitions_order(offers: list[Offer], most_events: int, slow: bool) -> None:
    offers = sorted(offers, key=lambda offer: offer[1])  # generations do not go back
    taken, acked = play(offers, most_events, slow)
    assert sorted(acked) == list(range(len(offers)))
    for partition in range(3):
        number, expected = 0, []
        for of, _, count in offers:
            expected += range(number, number + count) if of == partition else ()
            number += count
        assert [
            record for drawn in taken for of in drawn if of.partition == partition for record in of.records
        ] == expected
    for drawn in taken:
        assert len({delivery.generation_id for delivery in drawn}) == 1
        assert sum(len(d.records) for d in drawn) <= most_events


def drawn_of(offers: Sequence[Offer]) -> list[list[Offer]]:
    taken, _ = play(offers, most_events=10 * JOINED_EVENTS, slow=True)
    return [[(d.partition, d.generation_id, len(d.records)) for d in drawn] for drawn in taken]


def test_what_waits_is_one_batch_of_one_generation() -> None:
    offers = [(0, 1, 1), (0, 1, 2), (1, 1, 3), (0, 1, 4), (0, 2, 5), (1, 2, 6)]
    assert drawn_of(offers) == [[(0, 1, 7), (1, 1, 3)], [(0, 2, 5), (1, 2, 6)]]


def test_a_partition_with_a_large_batch_has_it_alone() -> None:
    half = JOINED_EVENTS // 2
    assert drawn_of([(0, 1, half), (1, 1, 3), (0, 1, half), (2, 1, 1)]) == [[(0, 1, 2 * half)], [(1, 1, 3), (2, 1, 1)]]


def test_batches_grow_to_twice_the_size() -> None:
    for backlog in ([(0, 1, JOINED_EVENTS)] * 9, [(0, 1, 9 * JOINED_EVENTS)]):
        assert [records for ((_, _, records),) in drawn_of(backlog)] == [n * JOINED_EVENTS for n in (1, 2, 4, 2)]


def test_a_failure_ends_it_and_is_told() -> None:
    told: list[BaseException] = []

    async def take(draw: Draw) -> None:
        raise RuntimeError("the store is away")

    async def run() -> None:
        intake = Intake(take, 10)
        intake.on_failure = told.append
        delivery = Delivery(0, 1, [1], lambda: None, lambda: True)
        await intake.offer(delivery)
        await asyncio.sleep(0.01)
        with pytest.raises(RuntimeError, match="away"):
            await intake.offer(delivery)

    asyncio.run(run())
    assert [str(error) for error in told] == ["the store is away"]


def test_a_partition_that_does_not_fit_into_a_batch_is_first_in_the_next_ones() -> None:
    """Three others fill every batch to the last event."""

    async def run() -> int:
        go, drawn_so_far = asyncio.Semaphore(0), asyncio.Queue[list[Delivery]]()

        async def take(draw: Draw) -> None:
            await go.acquire()
            drawn_so_far.put_nowait(draw())

        intake = Intake(take, 10 * JOINED_EVENTS)

        async def offer(partition: int, twentieths: int, at_once: bool = False) -> None:
            size = JOINED_EVENTS // 20
            for _ in range(1 if at_once else twentieths):
                records = [0] * (size * twentieths if at_once else size)
                await intake.offer(Delivery(partition, 1, records, lambda: None, lambda: True))

        await offer(0, 15)
        await offer(9, 6, at_once=True)
        await offer(1, 15)
        await offer(2, 15)
        for number in range(50):
            go.release()
            drawn = await drawn_so_far.get()
            await asyncio.sleep(0)
            if any(delivery.partition == 9 for delivery in drawn):
                return number
            for delivery in drawn:
                await offer(delivery.partition, 20 * len(delivery.records) // JOINED_EVENTS)
        raise AssertionError("it is never taken")

    assert asyncio.run(run()) < 3
