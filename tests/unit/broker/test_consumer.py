"""Records that wait for the look at the topic's id while the group rebalances, and rebalances of a crashed worker."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from faust.transport.consumer import ThreadDelegateConsumer
from faust.transport.drivers.aiokafka import Consumer as AiokafkaConsumer
from faust.types import TP
from mode.threads import MethodQueue

from streams.broker import consumer_thread
from streams.broker.consumer import BatchConsumer
from streams.broker.consumer_thread import BatchConsumerThread, Poll, ThreadEndedError
from streams.broker.offsets.read_positions import Fetched
from streams.config.errors import StoreError

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


class Delegate:
    """A consumer of Faust with the queue of calls to the application's loop, and the calls that came through."""

    threadsafe_partitions_assigned = ThreadDelegateConsumer.threadsafe_partitions_assigned
    threadsafe_partitions_revoked = ThreadDelegateConsumer.threadsafe_partitions_revoked

    def __init__(self) -> None:
        self._method_queue = MethodQueue(loop=asyncio.get_running_loop())
        self.calls: list[str] = []

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int) -> None:
        self.calls.append("assigned")

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await asyncio.sleep(0.1)
        self.calls.append("revoked")


@pytest.mark.parametrize("has_crashed", [False, True])
def test_a_rebalance_ends_although_a_crashed_application_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, has_crashed: bool
) -> None:
    monkeypatch.setattr(consumer_thread, "UNANSWERED_S", 0.02)

    async def rebalance() -> list[str]:
        thread = object.__new__(BatchConsumerThread)
        thread.consumer, thread.thread_loop = Delegate(), asyncio.get_running_loop()
        queue = thread.consumer._method_queue
        await queue.start()
        if has_crashed:
            queue._crash(RuntimeError("the application has crashed"))
            await asyncio.sleep(0.01)
        await thread.on_partitions_revoked({TP_0})
        await thread.on_partitions_assigned({TP_0}, 1)
        calls = list(thread.consumer.calls)
        await queue.stop()
        return calls

    calls = asyncio.run(asyncio.wait_for(rebalance(), 5))
    assert calls == ([] if has_crashed else ["revoked", "assigned"])


class Client:
    """The consumer of a thread."""

    transport = property(lambda self: self)


class ThreadWithoutClient(BatchConsumerThread):
    """A consumer's thread that has no Kafka client. The application calls the thread just before the end."""

    transport = app = property(lambda self: self, lambda self, value: None)

    def __post_init__(self) -> None: ...

    async def on_start(self) -> None: ...

    async def on_thread_stop(self) -> None:
        await super().on_thread_stop()
        self.last_call = asyncio.run_coroutine_threadsafe(self.call_thread(answer), self.parent_loop)
        await asyncio.sleep(0.1)


async def answer() -> str:
    return "answered"


def test_a_call_is_answered_also_while_the_thread_ends() -> None:
    """A commit without an answer held up the stop of a crashed worker until the watchdog ended the worker."""

    async def play() -> None:
        thread = ThreadWithoutClient(Client())
        await thread.start()
        assert await thread.call_thread(answer) == "answered"
        thread._crash(RuntimeError("the application has crashed"))
        await thread._shutdown.wait()
        with pytest.raises(ThreadEndedError):
            await asyncio.wrap_future(thread.last_call)
        with pytest.raises(ThreadEndedError):
            await thread.call_thread(answer)
        assert not await thread.commit({TP_0: 7})
        while not thread.thread_loop.is_closed():  # noqa: ASYNC110  the thread closes the loop, without an event
            await asyncio.sleep(0.01)
        await thread.stop()  # mode-streaming 0.7.1 raises here, because the loop is closed

    asyncio.run(asyncio.wait_for(play(), 10))


class Committing:
    """The consumer's thread, and the application: a commit succeeds or is refused."""

    def __init__(self, answers: list[bool]) -> None:
        self._answers = answers

    async def commit(self, offsets: Any) -> bool:
        return self._answers.pop(0)

    async def before_commit(self, offsets: Any) -> None: ...


class Refusing(Committing):
    """The application whose positions Cassandra refuses."""

    async def before_commit(self, offsets: Any) -> None:
        raise StoreError("no MODIFY permission")


def consumer_of(one: Committing, monkeypatch: pytest.MonkeyPatch) -> Any:
    consumer, crashed = object.__new__(BatchConsumer), asyncio.Event()
    values = {"_thread": one, "app": one, "_counted": set(), "group_commits": {}, "_crashed": crashed}
    for name, value in values.items():
        monkeypatch.setattr(consumer, name, value, raising=False)
    return consumer


def test_a_refused_commit_does_not_count_as_a_commit_of_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust itself counts each commit. A pending erasure would then be deleted too early."""
    consumer = consumer_of(Committing([True, False]), monkeypatch)
    assert asyncio.run(consumer._commit({TP_0: 480}))
    assert not asyncio.run(consumer._commit({TP_0: 501}))
    assert consumer.group_commits == {0: 480}


def test_a_refusal_of_the_positions_crashes_the_worker_and_no_further_commit_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An exception would break off a rebalance or the stop, and a second try after the stop waited for ever."""
    consumer, reasons = consumer_of(Refusing([]), monkeypatch), []

    async def crash(reason: BaseException) -> None:
        reasons.append(str(reason))
        consumer._crashed.set()

    monkeypatch.setattr(consumer, "crash", crash, raising=False)
    assert not asyncio.run(consumer._commit({TP_0: 480}))
    assert not asyncio.run(consumer._commit({TP_0: 480}))
    assert reasons == ["no MODIFY permission"]
    assert consumer.group_commits == {}


def test_a_commit_of_all_waits_for_a_running_commit_and_commits_what_was_acknowledged_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise the last commit of a stop comes after the store is closed."""

    async def play() -> tuple[int, int]:
        consumer, acknowledged, committed = object.__new__(BatchConsumer), 6, 0

        async def force_commit(*_: Any, **__: Any) -> bool:
            nonlocal committed
            taken = acknowledged
            await asyncio.sleep(0)
            committed = taken
            return True

        values = {
            "app": SimpleNamespace(client_only=False),
            "_commit_fut": None,
            "_loop": asyncio.get_running_loop(),
            "force_commit": force_commit,
        }
        for name, value in values.items():
            monkeypatch.setattr(consumer, name, value, raising=False)
        running = asyncio.create_task(consumer.commit())
        await asyncio.sleep(0)
        acknowledged = 7
        await consumer.commit_all()
        await running
        return acknowledged, committed

    assert asyncio.run(play()) == (7, 7)
