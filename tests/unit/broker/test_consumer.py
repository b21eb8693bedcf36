"""Records that wait for the look at the topic's id, while the group rebalances."""

import asyncio
from typing import Any

import pytest
from faust.transport.drivers.aiokafka import Consumer as AiokafkaConsumer
from faust.types import TP

from streams.broker.consumer import BatchConsumer
from streams.broker.consumer_thread import Poll
from streams.broker.offsets.read_positions import Fetched

TP_0 = TP("events", 0)
POLLED = {TP_0: ["a record"]}, {TP_0}


class Thread:
    def __init__(self) -> None:
        self.last_poll = Poll({TP_0: Fetched(8, 7)}, is_unwatched=True)


class App:
    """An application whose group may rebalance while `confirm_topic` waits for the broker."""

    def __init__(self, generation_after: int) -> None:
        self.consumer_generation_id = 1
        self._generation_after = generation_after

    async def confirm_topic(self) -> None:
        await asyncio.sleep(0)
        self.consumer_generation_id = self._generation_after


@pytest.mark.parametrize(("generation_after", "expected"), [(1, POLLED), (2, (None, None))])
def test_records_of_an_older_generation_are_not_delivered_in_a_newer_one(
    monkeypatch: pytest.MonkeyPatch, generation_after: int, expected: Any
) -> None:
    """The records may stand at an offset of a deleted topic, and the newer generation has confirmed the new topic."""

    async def poll(self: Any, timeout: float) -> Any:  # noqa: ASYNC109  Faust's signature
        return POLLED

    monkeypatch.setattr(AiokafkaConsumer, "_wait_next_records", poll)
    consumer = object.__new__(BatchConsumer)
    thread = Thread()
    monkeypatch.setattr(consumer, "_thread", thread, raising=False)
    monkeypatch.setattr(consumer, "app", App(generation_after), raising=False)
    assert asyncio.run(consumer._wait_next_records(1.0)) == expected
    assert bool(thread.last_poll.fetched) == (generation_after == 1), "the position counts as read"
