"""`thalweg rekey` and a broker that refuses a record of a long transaction, with aiokafka's own bookkeeping."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaError, ProducerFenced, TopicAuthorizationFailedError
from aiokafka.producer.transaction_manager import TransactionManager

from streams.commands.rekey import rekey
from streams.commands.rekey.rekey import Sent

EVENTS: list[Sent] = [("keyed", b"u", b"{}", [], 0)] * 3


class Producer:
    """Refuses the first record. The second one comes when the transaction has ended, as with a full batch."""

    def __init__(self, error: KafkaError) -> None:
        self.error = error
        self.transaction = TransactionManager("rekey", 60_000)
        self.transaction.set_pid_and_epoch(1, 0)
        self.transaction.begin_transaction()

    async def send(self, topic: str, value: bytes, **where: Any) -> Any:
        self.transaction.maybe_add_partition_to_txn((topic, where["partition"]))
        answer = asyncio.get_running_loop().create_future()
        answer.set_exception(self.error)
        self.transaction.error_transaction(self.error)
        self.transaction.wait_for_transaction_end().exception()
        return answer


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError("keyed"), ProducerFenced()])
def test_the_error_of_the_broker_is_raised_and_not_the_one_of_the_client(error: KafkaError) -> None:
    async def send() -> None:
        producer: Any = Producer(error)
        await rekey.send_all(producer, EVENTS)

    with pytest.raises(type(error)):
        asyncio.run(send())
