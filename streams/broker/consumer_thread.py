"""The thread that owns the Kafka client: reads committed records, commits, and leaves the group.

See `streams.broker.consumer` for what is delivered.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from time import monotonic
from typing import Any, NamedTuple

from aiokafka.errors import CommitFailedError, ConsumerStoppedError, KafkaError
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.structs import OffsetAndMetadata
from faust.transport.consumer import ensure_TP
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, ensure_aiokafka_TP
from faust.types import TP

from streams.broker.offsets.read_positions import Fetched

BATCH_TOPICS: set[str] = set()  # the topics that this process delivers as batches
LEAVE_AFTER_S = 1.0  # Leaving a group at rest takes less time.
UNANSWERED_S = 1.0  # A crashed application finishes a call that it has begun within this time, or never.
# A topic can be deleted, made again and filled while this worker does not ask the broker. That takes longer than this.
UNWATCHED_S = 0.25
# A fetch that finds nothing keeps the connection this long, and a seek waits for the end of the fetch. Faust's 1,500 ms
# delayed the first event of a new group by a second.
FETCH_WAIT_MS = 200


class ThreadEndedError(ConsumerStoppedError, KafkaError):
    """The thread of the Kafka client has ended. Faust and the callers expect these two errors of a client that ends."""


class Poll(NamedTuple):
    """What a poll has found of the batch topics."""

    fetched: dict[TP, Fetched]
    is_unwatched: bool  # a partition has records that came after the broker was not asked for UNWATCHED_S


NO_POLL = Poll({}, is_unwatched=False)


class BatchConsumerThread(AIOKafkaConsumerThread):
    """Reads committed records, tells how far a poll has read, and names the topic's id in each commit.

    The thread leaves its group also while the group rebalances. A stop waits for the running rebalance, which lasts
    until the session of a dead member has ended. The request to leave would queue behind the request to join. On a
    connection of its own, the request to leave is answered at once.
    """

    topic_id: object = ""  # of the incarnation whose records are read
    last_poll = NO_POLL

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answered_ms: dict[TP, int] = {}  # when the broker last answered a fetch, as of the last poll
        self._calls: set[asyncio.Future[Any]] = set()  # of the application, which the thread has not answered yet
        self._has_ended = False

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust reads committed records only where Faust writes transactions itself, and has no setting for the wait of
        # a fetch. The client looks at these attributes when the client starts.
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer

    async def _fetch_records(self, consumer: Any, active_partitions: set[TP], **options: Any) -> Any:
        records = await super()._fetch_records(consumer, active_partitions, **options)
        self.last_poll = self._look(consumer, active_partitions or (), records)
        return records

    def _look(self, consumer: Any, active: Iterable[TP], records: Mapping[TP, list[Any]]) -> Poll:
        """Runs in the thread of the client, before the client fetches or seeks again."""
        fetched, is_unwatched = {}, False
        subscription = consumer._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        for tp in active:
            state = None if assignment is None else assignment.state_value(ensure_aiokafka_TP(tp))
            if tp.topic in BATCH_TOPICS and state is not None and state.has_valid_position:
                found = records.get(tp)
                fetched[ensure_TP(tp)] = Fetched(state.position, found[-1].offset if found else None)
                answered_ms = state.timestamp or 0
                before_ms = self._answered_ms.get(tp, 0)
                is_unwatched = is_unwatched or bool(found and answered_ms - before_ms >= UNWATCHED_S * 1000)
                self._answered_ms[tp] = answered_ms
        return Poll(fetched, is_unwatched)

    def ends(self, tp: TP) -> tuple[int, int] | None:
        """The last stable offset and the end of an assigned partition; None before the first answer to a fetch."""
        consumer, key = self._ensure_consumer(), ensure_aiokafka_TP(tp)
        stable, end = consumer.last_stable_offset(key), consumer.highwater(key)
        return None if stable is None or end is None else (stable, end)

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        try:
            return bool(await super().commit(offsets))
        except ThreadEndedError:  # The next owner reads again what is not committed.
            return False

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit as Faust does, with the topic's id as the metadata (`streams.broker.topics.describe_topic`)."""
        consumer, now_s = self._ensure_consumer(), monotonic()
        commits = {tp: offset for tp, offset in offsets.items() if tp in self.assignment()}
        self.tp_last_committed_at.update(dict.fromkeys(commits, now_s))
        metadata = str(self.topic_id)
        try:
            await consumer.commit(
                {ensure_aiokafka_TP(tp): OffsetAndMetadata(offset, metadata) for tp, offset in commits.items()}
            )
        except Exception as error:
            if not (isinstance(error, CommitFailedError) and "already rebalanced" in str(error)):
                self.log.exception("a commit failed: %r; assigned are %r", error, self.assignment())
                await self.crash(error)
            return False
        return True

    async def call_thread(self, fun: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Run a call in the thread. Raises ThreadEndedError where the thread ends before the answer.

        Faust's method would wait for ever then. A crash ends the thread at any time. The commit of that moment was
        never answered, and the stop waited for the commit (docs/decisions.md#leaving-a-group-that-rebalances).
        """
        if self._has_ended or self.thread_loop.is_closed():
            raise ThreadEndedError
        answer: asyncio.Future[Any] = self.parent_loop.create_future()
        self._calls.add(answer)
        try:
            await self.method_queue.call(answer, fun, *args, **kwargs)
            return await answer
        finally:
            self._calls.discard(answer)

    def _stopped_set(self) -> None:
        with contextlib.suppress(RuntimeError):  # A crash has ended the thread, and the loop of the thread is closed.
            super()._stopped_set()

    def set_shutdown(self) -> None:
        super().set_shutdown()
        self.parent_loop.call_soon_threadsafe(self._end_calls)

    def _end_calls(self) -> None:
        """Runs in the application's loop, after the answers that the thread has given."""
        self._has_ended = True
        for answer in self._calls:
            if not answer.done():
                answer.set_exception(ThreadEndedError())

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        await self._unless_crashed(super().on_partitions_assigned(assigned, generation_id))

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        await self._unless_crashed(super().on_partitions_revoked(revoked))

    async def _unless_crashed(self, call: Coroutine[Any, Any, None]) -> None:
        """Await a call that the application's loop answers, unless the application has crashed.

        A crashed application answers no further call. The rebalance that made the call would then never end, and the
        stop waits for the rebalance.
        """
        answer = asyncio.ensure_future(call)
        try:
            while not answer.done():
                has_crashed = self.consumer._method_queue.should_stop
                await asyncio.wait({answer}, timeout=UNANSWERED_S)
                if has_crashed and not answer.done():
                    return
            answer.result()
        finally:
            answer.cancel()

    async def on_thread_stop(self) -> None:
        leaving = asyncio.create_task(self._leave_a_rebalance())
        try:
            await super().on_thread_stop()
        finally:
            leaving.cancel()

    async def _leave_a_rebalance(self) -> None:
        await asyncio.sleep(LEAVE_AFTER_S)
        coordinator = self._ensure_consumer()._coordinator
        if coordinator.member_id and coordinator.coordinator_id is not None:
            with contextlib.suppress(KafkaError):  # The broker ends the session by itself later.
                request = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
                await coordinator._client.send(coordinator.coordinator_id, request)
