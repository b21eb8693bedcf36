"""`thalweg rekey` and a source that is deleted, made again, cut, or shortened by retention, without a Kafka."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import MessageSizeTooLargeError, OffsetOutOfRangeError
from kafka.errors import KafkaConnectionError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError

from encoder.data.mapping import parse_mapping
from streams.broker.topics import Topic
from streams.commands.rekey import rekey, source
from streams.commands.rekey.command import check_offsets
from streams.config.errors import BrokerError, InputError
from streams.config.settings import Settings
from tests.support.processing import Record

MAPPING = parse_mapping(
    'user = "user"\nitem = "item"\naction = { const = "view" }\ntime = "timestamp:"\n', "m.toml", "m"
)
PARTITION = TopicPartition("tracking", 0)
OLD, NEW = uuid.UUID(int=1), uuid.UUID(int=2)


class Ids:
    """Answers in the place of TopicIdReader: ids, or errors as the reader raises them. The last answer stays."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def read(self) -> uuid.UUID:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, uuid.UUID):
            return answer
        raise BrokerError("the id could not be read") from answer

    def close(self) -> None:
        pass


class Consumer:
    """Gives the records of one partition from `start` on, one in a poll."""

    def __init__(self, start: int, end: int) -> None:
        self.start, self.end, self.at = start, end, 0

    def assign(self, partitions: list[TopicPartition]) -> None:
        assert partitions == [PARTITION]

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.at = offset

    async def position(self, tp: TopicPartition) -> int:
        return self.at

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.start)

    async def getmany(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Record]]:
        if not self.start <= self.at <= self.end:
            raise OffsetOutOfRangeError({PARTITION: self.at})
        if self.at == self.end:
            return {}
        self.at += 1
        value = json.dumps({"user": "u", "item": f"p-{self.at - 1}"}).encode()
        return {PARTITION: [Record(b"k", value, offset=self.at - 1, timestamp=1_772_359_200_000, topic="tracking")]}


class Producer:
    """Keeps the values and the commits."""

    def __init__(self, partitions: int = 2) -> None:
        self.partitions = partitions  # of each topic
        self.items: list[str] = []
        self.commits: list[tuple[int, str]] = []

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        yield

    async def partitions_for(self, topic: str) -> set[int]:
        return set(range(self.partitions))

    async def send(self, topic: str, value: bytes, **where: Any) -> Any:
        self.items.append(json.loads(value)["item_id"])
        return asyncio.sleep(0)

    async def send_offsets_to_transaction(self, commits: dict[TopicPartition, Any], group: str) -> None:
        self.commits += [(at.offset, at.metadata) for at in commits.values()]


Carry = Callable[..., Producer]


@pytest.fixture
def carry(monkeypatch: pytest.MonkeyPatch) -> Carry:
    """Return a function that carries the records up to offset 6, where the group has committed offset 2."""

    def run(consumer: Consumer, ids: Ids, producer: Producer | None = None) -> Producer:
        written = producer or Producer()
        topic = Topic(
            name="tracking",
            topic_id=OLD,
            partitions=1,
            start_offsets={0: min(consumer.start, 2)},
            stable_offsets={0: 6},
            end_offsets={0: 6},
            committed={0: 2},
        )

        @contextlib.asynccontextmanager
        async def opened(client: Any, **options: Any) -> AsyncIterator[Any]:
            assert options.get("auto_offset_reset", "none") == "none"
            yield client

        monkeypatch.setattr(rekey, "open_consumer", lambda *_, **options: opened(consumer, **options))
        monkeypatch.setattr(rekey, "open_producer", lambda *_, **__: opened(written))
        monkeypatch.setattr(rekey, "describe_topic", lambda *_: topic)
        monkeypatch.setattr(source, "TopicIdReader", lambda *_: ids)
        monkeypatch.setattr(source, "RETRY_S", 0.0)
        command = rekey.Rekey(Settings(), "tracking", "keyed", MAPPING, lambda key, places: 0, rekey.Places(2, 1))
        asyncio.run(command.run(follow=False))
        return written

    return run


def test_a_topic_that_is_made_again_ends_the_command_before_its_records_are_written(carry: Carry) -> None:
    """The new topic may be as long as the old one, so that the offsets alone tell nothing."""
    written = Producer()
    with pytest.raises(BrokerError, match=r"topic tracking was deleted and made again.*start the command again"):
        carry(Consumer(0, 6), Ids(OLD, OLD, NEW), written)
    assert written.items == ["p-2", "p-3"]
    assert written.commits == [(3, str(OLD)), (4, str(OLD))]


def test_a_shorter_topic_that_is_made_again_is_not_read_from_its_beginning(carry: Carry) -> None:
    with pytest.raises(BrokerError, match="topic tracking was deleted and made again"):
        carry(Consumer(0, 1), Ids(NEW))


def test_a_partition_that_was_cut_is_not_written_a_second_time(carry: Carry) -> None:
    written = Producer()
    with pytest.raises(BrokerError, match="partition 0 ends before offset 2, which comes next"):
        carry(Consumer(0, 1), Ids(OLD), written)
    assert written.items == []


def test_a_deleted_topic_ends_the_command(carry: Carry) -> None:
    with pytest.raises(BrokerError, match="topic tracking was deleted while this command read the topic"):
        carry(Consumer(0, 6), Ids(UnknownTopicOrPartitionError()))


def test_the_command_waits_for_a_broker_and_not_for_a_right(carry: Carry, caplog: pytest.LogCaptureFixture) -> None:
    lost = KafkaConnectionError()
    assert carry(Consumer(0, 6), Ids(lost, lost, OLD)).items == ["p-2", "p-3", "p-4", "p-5"]
    (said,) = caplog.records
    assert said.getMessage() == "the id could not be read; the command waits for a broker"
    with pytest.raises(BrokerError, match="the id could not be read"):
        carry(Consumer(0, 6), Ids(TopicAuthorizationFailedError()))


def test_records_that_retention_deleted_unread_are_told(carry: Carry, caplog: pytest.LogCaptureFixture) -> None:
    written = carry(Consumer(4, 6), Ids(OLD))
    assert written.items == ["p-4", "p-5"]
    assert [record.getMessage() for record in caplog.records] == [
        "2 records of tracking partition 0 (offsets 2 to 3) were deleted by retention before they were read"
    ]


def test_records_that_were_deleted_before_the_start_are_told(caplog: pytest.LogCaptureFixture) -> None:
    reading = source.Source(Settings(), "tracking", asyncio.Event())
    ends = {0: 9, 1: 9}
    topic = Topic(
        name="tracking",
        topic_id=OLD,
        partitions=2,
        start_offsets={0: 5, 1: 5},
        stable_offsets=ends,
        end_offsets=ends,
        committed={0: 3},  # the group has read nothing of partition 1
    )
    assert reading.open(topic) == {0: 5, 1: 5}
    assert [record.getMessage() for record in caplog.records] == [
        "2 records of tracking partition 0 (offsets 3 to 4) were deleted by retention before they were read"
    ]


def test_a_target_with_fewer_partitions_ends_the_command_with_a_remedy(carry: Carry) -> None:
    """aiokafka would end the command by an AssertionError for a partition that is not there any more."""
    with pytest.raises(BrokerError, match="topic keyed has fewer than 2 partitions now: start the command again"):
        carry(Consumer(0, 6), Ids(OLD), Producer(partitions=1))


def test_a_deleted_target_is_not_made_again_without_the_earlier_events() -> None:
    topic = Topic(
        name="tracking",
        topic_id=OLD,
        partitions=1,
        start_offsets={0: 0},
        stable_offsets={0: 6},
        end_offsets={0: 6},
        committed={0: 2},
    )
    with pytest.raises(InputError, match="--delete --group thalweg-rekey-tracking:keyed"):
        check_offsets(topic, "keyed", is_there=False)
    check_offsets(topic, "keyed", is_there=True)
    check_offsets(msgspec.structs.replace(topic, committed={0: 0}), "keyed", is_there=False)


def test_a_topic_that_takes_no_large_records_is_named_with_its_setting(carry: Carry) -> None:
    class Small(Producer):
        async def send(self, topic: str, value: bytes, **where: Any) -> Any:
            raise MessageSizeTooLargeError

    with pytest.raises(BrokerError, match=r"larger than topic keyed or tracking.dlq takes; set max\.message\.bytes"):
        carry(Consumer(0, 6), Ids(OLD), Small())
