"""`thalweg replay`: an event log into the behaviour topic, at a rate or as fast as it goes.

Records are packed into whole record batches (aiokafka's builder, compiled): about 4 us of CPU a record, where one
`send` for each costs 20 to 100 us. A user's records go to the partition that Kafka's default partitioner (murmur2 of
the key) names, in their order; the producer is idempotent, so a retry neither repeats nor reorders them.
"""

import argparse
import asyncio
import json
import logging
import os
import threading
import time
from asyncio import FIRST_COMPLETED
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.codec import lz4_encode
from aiokafka.errors import KafkaError, KafkaTimeoutError
from kafka.partitioner.default import murmur2
from rich.console import Console
from rich.status import Status

from encoder.data.loaders import COLUMNS_HELP, FORMATS, replay_records
from streams.broker.topics import describe_topic, ensure_topics
from streams.config.errors import BrokerError, InputError
from streams.config.security import broker_arguments
from streams.config.settings import Settings, load_settings

BATCH_BYTES = 256 * 1024  # before compression; larger ones gain nothing and wait longer
TICK_S = 0.02  # at a rate, records wait at most this long for others to share a batch with
SLICE = 2000  # records taken at a time at full speed, then the sender gets its turn: about 10 ms
SHOW_S = 0.5
REQUEST_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
LARGEST_BYTES = 1_000_000  # of a record, compressed: Kafka's default limit less what goes around it
CACHED_KEYS = 1 << 18  # partitions of the last keys; murmur2 in Python costs as much as all the rest

Pair = tuple[bytes | None, bytes | None]
Settle = Callable[[int, BaseException | None], None]  # (records of a batch, what it failed with)


class Replay:
    """Sends records once; another thread may read the counts and call `stop` meanwhile.

    sent: confirmed by all in-sync replicas. failed: larger than a broker takes (LARGEST_BYTES), and so left out.
    """

    def __init__(self, settings: Settings, topic: str, rate: float | None = None) -> None:
        """rate: records per second; None: as fast as it goes."""
        if rate is not None and not rate > 0:
            raise InputError(f"rate is {rate}: give a number of events per second above 0")
        self._settings = settings
        self.topic = topic
        self.rate = rate
        self.sent = 0
        self.failed = 0
        self.elapsed_s = 0.0
        self._stopped = False
        self._fault: BaseException | None = None

    def run(self, records: Iterable[Pair]) -> None:
        """Send all records and wait until each is confirmed. Raises BrokerError where it cannot go on."""
        began = time.monotonic()
        try:
            asyncio.run(self._run(iter(records)))
        except KafkaError as error:
            where = f"{self.topic} at {self._settings.broker}"
            raise BrokerError(f"replay to {where} ended after {self.sent} confirmed records: {error!r}") from error
        finally:
            self.elapsed_s = time.monotonic() - began

    def stop(self) -> None:
        """Take no further records; `run` returns when those that are under way are confirmed."""
        self._stopped = True

    async def _run(self, records: Iterator[Pair]) -> None:
        producer = AIOKafkaProducer(
            **broker_arguments(self._settings),
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
        )
        await producer.start()
        try:
            partitions = await producer.partitions_for(self.topic)
            batches = Batches(producer, self.topic, len(partitions), self._settle)
            sendable = filter(self._fits, records)
            if self.rate is None:
                await self._at_full_speed(sendable, batches)
            else:
                await self._at_rate(sendable, batches, self.rate)
            await batches.flush()
            await batches.settled()
            self._raise_fault()
        finally:
            with suppress(TimeoutError):  # it would wait for the confirmation of what a lost broker never confirms
                await asyncio.wait_for(producer.stop(), STOP_TIMEOUT_S)

    async def _at_full_speed(self, records: Iterator[Pair], batches: "Batches") -> None:
        while not self._stopped and (taken := list(islice(records, SLICE))):
            await batches.add(taken)
            self._raise_fault()
            await asyncio.sleep(0)

    async def _at_rate(self, records: Iterator[Pair], batches: "Batches", rate: float) -> None:
        began, count = time.monotonic(), 0
        while not self._stopped:
            due = int((time.monotonic() - began) * rate) + 1 - count
            taken = list(islice(records, min(due, SLICE)))
            if due > 0 and not taken:
                return
            await batches.add(taken)
            count += len(taken)
            if due <= SLICE:
                await batches.flush()
                await asyncio.sleep(max(TICK_S, 1 / rate))
            self._raise_fault()

    def _settle(self, count: int, error: BaseException | None) -> None:
        if error is None:
            self.sent += count
        elif self._fault is None:
            self._fault = error

    def _fits(self, record: Pair) -> bool:
        # Not left to the broker: after a batch that it refuses, an idempotent producer's sequence has a hole.
        value = record[1]
        if value is None or len(value) <= LARGEST_BYTES or len(lz4_encode(value)) <= LARGEST_BYTES:
            return True
        self.failed += 1
        return False

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault


class Batches:
    """Open batches of a topic's partitions, and those that are under way."""

    def __init__(self, producer: Any, topic: str, partitions: int, settle: Settle) -> None:
        self._producer = producer
        self._topic = topic
        self._settle = settle
        self._open = [producer.create_batch() for _ in range(partitions)]
        self._under_way: set[Any] = set()
        self._partition_of = lru_cache(CACHED_KEYS)(lambda key: (murmur2(key) & 0x7FFFFFFF) % partitions)

    async def add(self, records: list[Pair]) -> None:
        """Put records into the open batches; full ones go out, waiting where the broker is behind."""
        partition_of, batches = self._partition_of, self._open  # a sent batch is replaced in the list
        for key, value in records:
            partition = 0 if key is None else partition_of(key)
            if batches[partition].append(key=key, value=value, timestamp=None) is None:
                await self._send(partition)
                batches[partition].append(key=key, value=value, timestamp=None)

    async def flush(self) -> None:
        """Send what is open, full or not."""
        for partition, batch in enumerate(self._open):
            if batch.record_count():
                await self._send(partition)

    async def settled(self) -> None:
        """Wait until everything sent is confirmed or refused. Raises KafkaTimeoutError where nothing moves."""
        while self._under_way:
            done, _ = await asyncio.wait(self._under_way, timeout=REQUEST_TIMEOUT_S, return_when=FIRST_COMPLETED)
            if not done:  # an idempotent producer of aiokafka would try for ever
                raise KafkaTimeoutError(f"no confirmation for {REQUEST_TIMEOUT_S:.0f} s")

    async def _send(self, partition: int) -> None:
        batch = self._open[partition]
        self._open[partition] = self._producer.create_batch()
        count = batch.record_count()
        future = await self._producer.send_batch(batch, self._topic, partition=partition)

        def done(future: Any) -> None:
            self._under_way.discard(future)
            self._settle(count, future.exception())

        self._under_way.add(future)
        future.add_done_callback(done)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("log", type=Path, help="event log")
    parser.add_argument("--format", choices=FORMATS, help="default: by the file's name, parquet, csv or jsonl")
    parser.add_argument("--columns", metavar="FIELD=COLUMN,...", help=COLUMNS_HELP)
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--first", type=float, metavar="FRACTION", help="only the first part of the log in time")
    part.add_argument("--rest", type=float, metavar="FRACTION", help="only what comes after that first part")
    parser.add_argument("--rate", type=float, metavar="EVENTS_PER_S", help="default: as fast as it goes")
    parser.add_argument("--bootstrap", metavar="HOST:PORT", help="broker (default: the setting `broker`)")
    parser.add_argument("--topic", help="default: the setting `behavior_topic`")
    parser.add_argument("--json", action="store_true", help="print the counts as one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of each retry; what remains is a BrokerError
    named = {"THALWEG_BROKER": args.bootstrap} if args.bootstrap else {}
    settings = load_settings({**os.environ, **named})  # so that no local service's password goes to another broker
    settings = msgspec.structs.replace(settings, behavior_topic=args.topic or settings.behavior_topic)
    records = replay_records(args.log, args.format, args.columns, first=args.first, rest=args.rest)
    replay = Replay(settings, settings.behavior_topic, args.rate)
    if args.topic is None:
        ensure_topics(settings)
    else:
        describe_topic(settings, args.topic)  # a topic of one's own must be there
    with _shown(replay):
        replay.run(records)
    counts = {
        "sent": replay.sent,
        "failed": replay.failed,
        "elapsed_s": round(replay.elapsed_s, 3),
        "records_per_s": round(replay.sent / replay.elapsed_s, 1),
    }
    if args.json:
        print(json.dumps(counts))
    else:
        print(
            f"replay: {replay.sent} records sent to {replay.topic} in {replay.elapsed_s:.1f} s "
            f"({counts['records_per_s']:.0f}/s), {replay.failed} failed"
            + (f": each larger than {LARGEST_BYTES} bytes" if replay.failed else "")
        )
    return 1 if replay.failed else 0


@contextmanager
def _shown(replay: Replay) -> Iterator[None]:
    """A line on the terminal that follows the counts while the block runs."""
    stopped = threading.Event()

    def follow(status: Status) -> None:
        began, before = time.monotonic(), 0
        while not stopped.wait(SHOW_S):
            speed, before = (replay.sent - before) / SHOW_S, replay.sent
            status.update(f"{before:,} records sent, {speed:,.0f}/s, {time.monotonic() - began:.0f} s")

    with Console(stderr=True).status(f"sending to {replay.topic} …") as status:
        thread = threading.Thread(target=follow, args=[status], name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()
