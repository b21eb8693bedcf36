"""What it costs to read a topic with aiokafka, through Faust by record batches, and with librdkafka.

`python -m tests.benchmarks.scale.transports [--records N] [--rounds N]`: the CPU time that a process takes for each
record, over all threads, from the making of the consumer to the last record. Every reader reads the key, the value, the
timestamp, the offset, the partition and the headers of every record, of committed records alone, and checks checksums.
Each reading is a process of its own with the settings of a worker's process. The readers take turns in each round.

- `aiokafka`: the client's own lists of records
- `faust`: `streams.broker.transport`, as a worker has it, with an agent that acknowledges every batch at once
- `messages`: librdkafka (confluent-kafka) with KIP-848 and static membership, as lists of its messages by partition
- `records`: the same, made to lists of objects with attributes, which the rest of a worker reads
- `agent_messages`, `agent_records`: the same lists from a thread of their own, through a Faust channel to an agent
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import confluent_kafka
import faust
from aiokafka import AIOKafkaConsumer

from streams.broker import transport
from streams.broker.consumer import Opened
from streams.broker.topics import ensure_topics
from streams.commands.replay.producer import Replay
from streams.config.settings import Settings
from streams.local import local_services
from streams.worker import process
from tests.benchmarks.bench.load import events

TOPIC = "transports"
POLL_RECORDS = Settings().batch_max_events
POLL_S = 0.05
LIMIT_S = 120.0


class Record(NamedTuple):
    """The attributes of aiokafka's records that a worker reads."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Any


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--read", choices=READERS, help="read once, which a round does in a process of its own")
    parser.add_argument("--broker", help="with --read: the broker with the records")
    args = parser.parse_args()
    if args.read:
        print(json.dumps(read(args.read, args.broker, args.records)), flush=True)
        os._exit(0)  # The thread of Faust's client would keep the process.
    with local_services(cassandra=False) as services:
        settings = Settings(broker=services.bootstrap, behavior_topic=TOPIC)
        ensure_topics(settings)
        Replay(settings, TOPIC).run(events(args.records))
        rounds = [
            {name: _in_process(name, services.bootstrap, args.records) for name in READERS} for _ in range(args.rounds)
        ]
    for name in READERS:
        print(f"{name:<14}", *(_summary(key, [found[name][key] for found in rounds]) for key in rounds[0][name]))
    return 0


def read(name: str, broker: str, count: int) -> dict[str, float]:
    """Read `count` records in this process. Returns CPU us and real us for each record, and the memory in MB."""
    process.tune()
    began_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began_cpu_s, began_s = time.process_time(), time.perf_counter()
    size = READERS[name](broker, count)
    cpu_s, wall_s = time.process_time() - began_cpu_s, time.perf_counter() - began_s
    added_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - began_kb) / 1024
    figures = {"cpu_us": cpu_s / count * 1e6, "real_us": wall_s / count * 1e6, "added_mb": added_mb}
    return {**figures, "bytes_per_record": size / count}


def size_of(records: Iterable[Any]) -> int:
    """The bytes of keys and values. All attributes that a worker may need are read."""
    size = 0
    for record in records:
        size += len(record.key) + len(record.value)
        _ = (record.partition, record.offset, record.timestamp, record.headers)
    return size


def read_by_aiokafka(broker: str, count: int) -> int:
    async def run() -> int:
        consumer = AIOKafkaConsumer(
            TOPIC,
            bootstrap_servers=broker,
            group_id=uuid.uuid4().hex,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
        )
        await consumer.start()
        left, size = count, 0
        while left > 0:
            for records in (await consumer.getmany(timeout_ms=1000, max_records=POLL_RECORDS)).values():
                left, size = left - len(records), size + size_of(records)
        await consumer.stop()
        return size

    return asyncio.run(run())


async def _begin_assignment(_: Any) -> Opened:
    return Opened("", {}, (), ())


async def _confirm_topic() -> None:
    """Return at once: nobody makes the topic again."""


async def _before_commit(_: Any) -> None:
    """Return at once: there is no store whose position could be entered."""


def read_by_faust(broker: str, count: int) -> int:
    transport.deliver_as_batches(TOPIC)
    app = faust.App(
        uuid.uuid4().hex,
        broker=f"{transport.URL_SCHEME}://{broker}",
        store="memory://",
        web_enabled=False,
        datadir=os.devnull,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        ConsumerScheduler=transport.BatchScheduler,
        stream_buffer_maxsize=2,
        broker_max_poll_records=POLL_RECORDS,
        broker_commit_interval=1.0,
    )
    app.begin_assignment, app.confirm_topic = _begin_assignment, _confirm_topic  # what a worker asks the store
    app.before_commit = _before_commit
    app._create_directories = lambda: None
    topic = app.topic(TOPIC, schema=transport.BatchSchema(key_type=bytes, value_type=bytes), maxsize=2)
    read, done = [0, 0], asyncio.Event()

    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            records = event.message.value
            read[0] += len(records)
            read[1] += size_of(records)
            event.message.ack(app.consumer)
            if read[0] >= count:
                done.set()

    app.agent(topic, name="reader", concurrency=1)(agent)

    async def run() -> int:
        await app.start()
        async with asyncio.timeout(LIMIT_S):
            await done.wait()
        return read[1]

    return asyncio.new_event_loop().run_until_complete(run())


def _librdkafka(broker: str) -> confluent_kafka.Consumer:
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": broker,
            "group.id": uuid.uuid4().hex,
            "group.instance.id": uuid.uuid4().hex,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "check.crcs": True,
            "fetch.queue.backoff.ms": 10,  # By default, the fetcher rests a second whenever 100,000 messages wait.
        }
    )
    consumer.subscribe([TOPIC])
    return consumer


def messages_by_partition(messages: Iterable[Any]) -> dict[int, list[Any]]:
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for message in messages:
        assert message.error() is None
        found[message.partition()].append(message)
    return found


def records_by_partition(messages: Iterable[Any]) -> dict[int, list[Any]]:
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for message in messages:
        assert message.error() is None
        partition, (_, timestamp_ms) = message.partition(), message.timestamp()
        fields = (message.offset(), timestamp_ms, message.key(), message.value(), message.headers())
        found[partition].append(Record(TOPIC, partition, *fields))
    return found


def size_of_messages(messages: Iterable[Any]) -> int:
    """The same as `size_of`, by the methods of librdkafka's messages."""
    size = 0
    for message in messages:
        size += len(message.key()) + len(message.value())
        _ = (message.partition(), message.offset(), message.timestamp(), message.headers())
    return size


ByPartition = Callable[[Iterable[Any]], dict[int, list[Any]]]
WAYS: dict[str, tuple[ByPartition, Callable[[Iterable[Any]], int]]] = {
    "messages": (messages_by_partition, size_of_messages),
    "records": (records_by_partition, size_of),
}


def _batches(broker: str, count: int, by_partition: ByPartition) -> Iterator[list[Any]]:
    """Yield what librdkafka returns, as a list for each partition of each call."""
    consumer = _librdkafka(broker)
    while count > 0:
        messages = consumer.consume(POLL_RECORDS, POLL_S)
        count -= len(messages)
        yield from by_partition(messages).values()


def read_by_librdkafka(way: str, broker: str, count: int) -> int:
    by_partition, size = WAYS[way]
    return sum(map(size, _batches(broker, count, by_partition)))


def read_by_agent(way: str, broker: str, count: int) -> int:
    by_partition, size = WAYS[way]
    app = faust.App(uuid.uuid4().hex, broker=f"kafka://{broker}", store="memory://", web_enabled=False)
    channel = app.channel(maxsize=2)
    read, done = [0, 0], asyncio.Event()

    async def agent(stream: Any) -> None:
        async for batch in stream:
            read[0] += len(batch)
            read[1] += size(batch)
            if read[0] >= count:
                done.set()

    reader = app.agent(channel, name="reader", concurrency=1)(agent)

    def consume(loop: asyncio.AbstractEventLoop) -> None:
        for batch in _batches(broker, count, by_partition):
            asyncio.run_coroutine_threadsafe(channel.send(value=batch), loop).result()

    async def run() -> int:
        app.flow_control.resume()  # Faust holds all channels until a consumer has started.
        await reader.start()
        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(asyncio.to_thread(consume, asyncio.get_running_loop()), done.wait())
        return read[1]

    return asyncio.new_event_loop().run_until_complete(run())


READERS: dict[str, Callable[[str, int], int]] = {
    "aiokafka": read_by_aiokafka,
    "faust": read_by_faust,
    "messages": partial(read_by_librdkafka, "messages"),
    "records": partial(read_by_librdkafka, "records"),
    "agent_messages": partial(read_by_agent, "messages"),
    "agent_records": partial(read_by_agent, "records"),
}


def _in_process(name: str, broker: str, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", __spec__.name, "--read", name, "--broker", broker, "--records", str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LIMIT_S + 30, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(name, found, flush=True)
    return found


def _summary(name: str, figures: list[float]) -> str:
    return f"{name} {statistics.median(figures):.2f} ({min(figures):.2f} to {max(figures):.2f})  "


if __name__ == "__main__":
    sys.exit(main())
