"""Follows what the consumer group of the workers has committed, as Kafka itself records each commit."""

import struct
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from streams.config.settings import Settings
from tests.faults.load import Delivery

TOPIC = "__consumer_offsets"
POLL_S = 0.3
# A follower must outlive a broker that is gone or frozen, and must not be what stands still.
ANSWER_LIMIT_MS = 2_000
LAST_READ_LIMIT_S = 10.0  # for what was committed before the stop
OFFSET_KEYS = (0, 1)  # versions of a key that belong to a commit; other versions belong to the group itself


class Commit(NamedTuple):
    """One commit of one partition that goes further than the commits before it."""

    at: float  # time.monotonic() when the broker wrote the commit
    partition: int
    offset: int  # the next offset that the group reads


class Commits(threading.Thread):
    """Reads the commits of a consumer group in a topic, until it is stopped."""

    def __init__(self, settings: Settings, topic: str, group: str) -> None:
        super().__init__(name="commits", daemon=True)
        self._broker = settings.broker
        self._source = (group, topic)
        self.problems: list[str] = []  # why some commits may not be known
        self._offsets: dict[int, int] = {}
        self._ends: dict[int, int] = {}  # of each partition of TOPIC, the end up to which the follower has read
        self._seen: list[Commit] = []
        self._stopped = threading.Event()

    def run(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._broker,
                "group.id": f"{self._source[0]}-follower",  # the client asks for a name, and joins no group
                "enable.auto.commit": False,
                "isolation.level": "read_uncommitted",
                "allow.auto.create.topics": False,
                "enable.partition.eof": True,
                "socket.timeout.ms": ANSWER_LIMIT_MS,
                "topic.metadata.refresh.interval.ms": 1_000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        try:
            if self._assigned(consumer):
                while not self._stopped.is_set():
                    self._read(consumer)
                self._read_rest(consumer)
        finally:
            consumer.close()

    def _assigned(self, consumer: Consumer) -> bool:
        """Wait until the topic of commits exists, which the first group of a cluster creates."""
        while not self._stopped.wait(POLL_S):
            try:
                found = consumer.list_topics(TOPIC, timeout=ANSWER_LIMIT_MS / 1000).topics[TOPIC].partitions
            except KafkaException:  # no broker answers
                continue
            if found:
                consumer.assign([TopicPartition(TOPIC, partition, OFFSET_BEGINNING) for partition in found])
                return True
        return False

    def _read(self, consumer: Consumer) -> None:
        message = consumer.poll(POLL_S)
        if message is None:
            return
        if not message.error():
            self._note(message)
        elif message.error().code() == KafkaError._PARTITION_EOF:
            self._ends[message.partition()] = message.offset()

    def _read_rest(self, consumer: Consumer) -> None:
        """Read up to the ends that the partitions have now."""
        deadline = time.monotonic() + LAST_READ_LIMIT_S
        assigned = consumer.assignment()
        ends: dict[int, int] = {}
        while len(ends) < len(assigned) or any(self._ends.get(partition, -1) < end for partition, end in ends.items()):
            if time.monotonic() > deadline:
                self.problems.append(f"the last commits were not read within {LAST_READ_LIMIT_S:.0f} s")
                return
            try:
                for at in assigned[len(ends) :]:
                    ends[at.partition] = consumer.get_watermark_offsets(at, timeout=ANSWER_LIMIT_MS / 1000)[1]
            except KafkaException:  # no broker answers
                continue
            self._read(consumer)

    def _note(self, message: Any) -> None:
        key, value = message.key(), message.value()
        found = None if value is None else _source_of(key)
        if found is None or found[:2] != self._source:
            return
        partition, (offset,) = found[2], struct.unpack_from(">q", value, 2)
        if offset > self._offsets.get(partition, 0):
            self._offsets[partition] = offset
            written_s = message.timestamp()[1] / 1000
            self._seen.append(Commit(written_s - time.time() + time.monotonic(), partition, offset))

    def stop(self) -> None:
        """Read what is left, and end. `problems` then holds what went wrong."""
        if not self.is_alive():
            self.problems.append("the follower of the commits itself had failed before")
        self._stopped.set()
        self.join()

    @property
    def records(self) -> int:
        return sum(self._offsets.values())

    def wait_for_all(self, partitions: int, limit_s: float = 60.0) -> None:
        """Wait until each partition has a commit. Raises TimeoutError after the limit."""
        deadline = time.monotonic() + limit_s
        while len(self._offsets) < partitions:
            if time.monotonic() > deadline:
                raise TimeoutError(f"only partitions {sorted(self._offsets)} have a commit after {limit_s:.0f} s")
            time.sleep(POLL_S)

    def wait_for(self, records: int, limit_s: float = 60.0) -> None:
        """Wait until so many records are committed. Raises TimeoutError after the limit."""
        deadline = time.monotonic() + limit_s
        while self.records < records:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.records} records are committed after {limit_s:.0f} s, not {records}")
            time.sleep(POLL_S)

    def next_after(self, moment: float) -> float | None:
        """Return when the first commit after this moment was written, or None."""
        return next((commit.at for commit in self._seen if commit.at > moment), None)

    def have_all_after(self, moment: float) -> bool:
        """Whether every partition has a commit after this moment."""
        return {commit.partition for commit in self._seen if commit.at > moment} == self._offsets.keys()

    def between(self, began: float, ended: float) -> list[tuple[float, int]]:
        """Return when commits were written in this time, and how many records were committed then."""
        offsets: dict[int, int] = {}
        found = []
        for commit in sorted(self._seen):
            offsets[commit.partition] = commit.offset
            if began <= commit.at <= ended:
                found.append((commit.at, sum(offsets.values())))
        return found

    def standstill(
        self, since: float, until: float, delivered: Mapping[int, Sequence[Delivery]]
    ) -> tuple[float, int, float] | None:
        """The longest time in which a partition had records and no commit, the partition, and when it began.

        since, until: the time in which the load and all workers are there. delivered: the records of each partition. A
        partition to which nothing comes does not stand still. None without a commit.
        """
        last: dict[int, Commit] = {}
        found: tuple[float, int, float] | None = None
        for commit in sorted(self._seen):
            before = last.get(commit.partition)
            last[commit.partition] = commit
            if before is None:
                continue
            waiting = next(
                (one.at for one in delivered.get(commit.partition, ()) if one.end > before.offset), before.at
            )
            began = max(since, before.at, waiting)
            if began < until and (found is None or commit.at - began > found[0]):
                found = (commit.at - began, commit.partition, began)
        return found


def _source_of(key: bytes) -> tuple[str, str, int] | None:
    """Group, topic and partition in the key of a commit; None for keys of other records.

    Source: OffsetCommitKey.json of Apache Kafka. A text is its length in two bytes and UTF-8.
    """
    (version,) = struct.unpack_from(">h", key)
    if version not in OFFSET_KEYS:
        return None
    texts, at = [], 2
    for _ in range(2):
        (length,) = struct.unpack_from(">h", key, at)
        texts.append(key[at + 2 : at + 2 + length].decode())
        at += 2 + length
    return texts[0], texts[1], struct.unpack_from(">i", key, at)[0]
