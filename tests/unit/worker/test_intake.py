"""Waiting record batches are joined by partition and generation. No record is lost, repeated or overtaken."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.worker.intake import JOINED_EVENTS, Batch, Delivery, Intake

Offer = tuple[int, int, int]  # partition, generation, number of records


def play(offers: Sequence[Offer], most_events: int, at_work: int = 1) -> tuple[list[Batch], list[int]]:
    """The batches that were drawn, and the offers that were acknowledged.

    at_work: the number of drawn batches at which the oldest batch is released.
    """
    drawn: list[Batch] = []
    acked: list[int] = []

    def ack(index: int, last: int) -> None:
        records = [record for batch in drawn for delivery in batch.deliveries for record in delivery.records]
        assert last in records, "an offer is acknowledged after all of its records are drawn"
        acked.append(index)

    async def draw_all(intake: Intake) -> None:
        working: list[Batch] = []
        while True:
            filled = asyncio.ensure_future(intake.filled())
            await asyncio.sleep(0)
            if not filled.done() and working:  # Every waiting partition is in a batch at work.
                release(intake, working.pop(0))
            await filled
            batch = intake.draw()
            busy = {delivery.partition for other in working for delivery in other.deliveries}
            partitions = {delivery.partition for delivery in batch.deliveries}
            assert len(partitions) == len(batch.deliveries) > 0
            assert not busy & partitions, "a partition's batches are processed one after another"
            drawn.append(batch)
            working.append(batch)
            while len(working) >= at_work:
                release(intake, working.pop(0))

    def release(intake: Intake, batch: Batch) -> None:
        intake.release(batch)
        batch.ack()

    async def run() -> None:
        intake = Intake(most_events)
        number = 0

        async def offer_all() -> None:
            nonlocal number
            for index, (partition, generation_id, count) in enumerate(offers):
                records = list(range(number, number + count))
                number += count
                acknowledge = partial(ack, index, number - 1)
                await intake.offer(Delivery(partition, generation_id, records, acknowledge, lambda: True))

        offering = asyncio.create_task(offer_all())
        await asyncio.sleep(0)  # Everything that fits is offered before the first batch is drawn.
        drawing = asyncio.create_task(draw_all(intake))
        await asyncio.wait_for(offering, timeout=5)
        if at_work == 1:
            await asyncio.wait_for(intake.drained(), timeout=5)
        drawing.cancel()

    asyncio.run(run())
    return drawn, acked


@given(
    offers=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 2), st.integers(1, 30)), max_size=20),
    most_events=st.integers(1, 60),
)
def test_every_record_is_drawn_once_in_the_order_of_its_partition(offers: list[Offer], most_events: int) -> None:
    offers = sorted(offers, key=lambda offer: offer[1])  # Generations never decrease.
    drawn, acked = play(offers, most_events)
    assert sorted(acked) == list(range(len(offers)))
    for partition in range(3):
        number, expected = 0, []
        for of, _, count in offers:
            expected += range(number, number + count) if of == partition else ()
            number += count
        deliveries = [d for batch in drawn for d in batch.deliveries if d.partition == partition]
        assert [record for delivery in deliveries for record in delivery.records] == expected
    for batch in drawn:
        assert len({delivery.generation_id for delivery in batch.deliveries}) == 1
        assert batch.events <= most_events


@given(offers=st.lists(st.tuples(st.integers(0, 3), st.just(1), st.integers(1, 30)), max_size=20))
def test_a_partition_is_in_one_batch_at_a_time(offers: list[Offer]) -> None:
    play(offers, most_events=40, at_work=2)


def sizes_of(offers: Sequence[Offer]) -> list[list[Offer]]:
    drawn, _ = play(offers, most_events=10 * JOINED_EVENTS)
    return [[(d.partition, d.generation_id, len(d.records)) for d in batch.deliveries] for batch in drawn]


def test_waiting_records_of_one_generation_become_one_batch() -> None:
    offers = [(0, 1, 1), (0, 1, 2), (1, 1, 3), (0, 1, 4), (0, 2, 5), (1, 2, 6)]
    assert sizes_of(offers) == [[(0, 1, 7), (1, 1, 3)], [(0, 2, 5), (1, 2, 6)]]


def test_a_large_batch_holds_one_partition_alone() -> None:
    half = JOINED_EVENTS // 2
    assert sizes_of([(0, 1, half), (1, 1, 3), (0, 1, half), (2, 1, 1)]) == [[(0, 1, 2 * half)], [(1, 1, 3), (2, 1, 1)]]


@pytest.mark.parametrize("backlog", [[(0, 1, JOINED_EVENTS)] * 9, [(0, 1, 9 * JOINED_EVENTS)]])
def test_batches_grow_to_twice_the_size_of_the_largest_batch_before(backlog: list[Offer]) -> None:
    assert [records for ((_, _, records),) in sizes_of(backlog)] == [n * JOINED_EVENTS for n in (1, 2, 4, 2)]


def test_a_partition_that_does_not_fit_into_a_batch_is_first_in_a_later_batch() -> None:
    """Three other partitions fill every batch to the last event."""

    async def run() -> int:
        intake, size = Intake(10 * JOINED_EVENTS), JOINED_EVENTS // 20

        async def offer(partition: int, twentieths: int, at_once: bool = False) -> None:
            for _ in range(1 if at_once else twentieths):
                records = [0] * (size * twentieths if at_once else size)
                await intake.offer(Delivery(partition, 1, records, lambda: None, lambda: True))

        await offer(0, 15)
        await offer(9, 6, at_once=True)
        await offer(1, 15)
        await offer(2, 15)
        for number in range(50):
            batch = intake.draw()
            intake.release(batch)
            if any(delivery.partition == 9 for delivery in batch.deliveries):
                return number
            for delivery in batch.deliveries:
                await offer(delivery.partition, 20 * len(delivery.records) // JOINED_EVENTS)
        raise AssertionError("the partition is never drawn")

    assert asyncio.run(run()) < 3


def test_an_offer_waits_while_a_full_batch_waits() -> None:
    async def run() -> None:
        intake = Intake(10)
        offering = asyncio.create_task(intake.offer(Delivery(0, 1, [0] * 10, lambda: None, lambda: True)))
        await asyncio.sleep(0)
        assert not offering.done()
        intake.draw()
        await asyncio.wait_for(offering, timeout=5)

    asyncio.run(run())
