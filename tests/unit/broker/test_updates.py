"""Updates that wait for the next transaction of their partition share the transaction."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import ProducerFenced

from streams.broker.updates import TRANSACTION_EVERY_S, TRANSACTIONS_PER_S, PartitionWriter, Update, transaction_every_s


class RecordingWriter(PartitionWriter):
    """A writer that records its transactions and sends nothing."""

    def __init__(self) -> None:
        super().__init__(None, "updates", 0, TRANSACTION_EVERY_S)
        self.sent: list[tuple[float, list[Update]]] = []

    async def _transaction(self, updates: list[Update]) -> None:
        self.sent.append((asyncio.get_running_loop().time(), updates))


def play(*batches: list[Update]) -> list[tuple[float, list[Update]]]:
    async def run() -> Any:
        writer = RecordingWriter()
        await writer.publish(batches[0])
        await asyncio.gather(*(writer.publish(batch) for batch in batches[1:]))
        return writer.sent

    found: list[tuple[float, list[Update]]] = asyncio.run(run())
    return found


def test_a_first_update_is_sent_at_once_and_the_next_updates_share_a_transaction() -> None:
    first, second = play([(b"a", b"1", [])], [(b"a", b"2", [])], [(b"b", b"1", [])])
    assert (first[1], second[1]) == ([(b"a", b"1", [])], [(b"a", b"2", []), (b"b", b"1", [])])
    assert second[0] - first[0] > 0.9 * TRANSACTION_EVERY_S


def test_only_a_users_last_update_is_sent() -> None:
    _, (_, updates) = play(
        [(b"z", b"0", [])], [(b"a", b"1", []), (b"b", None, [])], [(b"a", None, []), (b"b", b"2", [])]
    )
    assert updates == [(b"a", None, []), (b"b", b"2", [])]


def test_a_writer_begins_no_transaction_after_one_that_failed() -> None:
    """aiokafka raises an AssertionError where a transaction begins after a failed one, and a task logged the error."""
    writer = RecordingWriter()
    fenced = ProducerFenced("another producer has the id")

    async def fail(updates: list[Update]) -> None:
        writer.sent.append((0.0, updates))
        raise fenced

    async def play() -> list[Any]:
        writer._transaction = fail
        first, waiting = writer.publish([(b"a", b"1", [])]), writer.publish([(b"b", b"1", [])])
        answers = await asyncio.gather(first, waiting, return_exceptions=True)
        return [*answers, *await asyncio.gather(writer.publish([(b"c", b"1", [])]), return_exceptions=True)]

    assert asyncio.run(play()) == [fenced] * 3
    assert len(writer.sent) == 1


def test_with_many_partitions_each_partition_waits_longer() -> None:
    assert [transaction_every_s(n) for n in (1, 2)] == [TRANSACTION_EVERY_S] * 2
    assert 64 / transaction_every_s(64) == pytest.approx(TRANSACTIONS_PER_S)
