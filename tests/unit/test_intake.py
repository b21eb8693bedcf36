"""Record batches that wait are joined by partition and generation; nothing is lost, repeated or overtaken."""

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.intake import Delivery, Intake

Offer = tuple[int, int, int]  # partition, generation, records


def play(offers: Sequence[Offer], most_events: int, slow: bool) -> tuple[list[Delivery], list[int]]:
    """What `take` got, and which offers were acknowledged."""
    taken: list[Delivery] = []
    acked: list[int] = []

    async def take(delivery: Delivery) -> None:
        if slow:
            await asyncio.sleep(0.0005)
        taken.append(delivery)
        delivery.ack()

    async def run() -> None:
        intake = Intake(take, most_events)
        number = 0
        for index, (partition, generation_id, count) in enumerate(offers):
            records = list(range(number, number + count))
            number += count
            await intake.offer(Delivery(partition, generation_id, records, partial(acked.append, index), lambda: True))
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
            record for delivery in taken if delivery.partition == partition for record in delivery.records
        ] == expected
    assert all(len(delivery.records) <= max(most_events, *(count for _, _, count in offers)) for delivery in taken)


def test_what_waits_for_a_partition_is_one_batch() -> None:
    taken, _ = play([(0, 1, 1), (0, 1, 2), (1, 1, 3), (0, 1, 4), (0, 2, 5)], most_events=100, slow=True)
    assert [(d.partition, d.generation_id, len(d.records)) for d in taken] == [(0, 1, 7), (1, 1, 3), (0, 2, 5)]


def test_a_failure_ends_it_and_is_told() -> None:
    told: list[BaseException] = []

    async def take(delivery: Delivery) -> None:
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
