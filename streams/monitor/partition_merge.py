"""Merges the records of several partitions, also of several topics, by their timestamps. Pure: no I/O, no clock.

The baselines learn from the events in the order in which they see the events. A consumer that catches up receives the
partitions in large blocks, and in other blocks at each run. Merged by timestamp, a monitor that reads the topic again
sees the order that a live monitor saw.
"""

from bisect import bisect_left
from collections.abc import Collection
from operator import itemgetter
from typing import Any

Partition = tuple[int, int]  # (number of the topic, partition); at equal timestamps, the lower one comes first
BUFFER_RECORDS = 10_000  # a partition with this many buffered records waits for the other partitions


class PartitionMerge:
    """Buffers records for each partition and releases a record when no earlier record can come.

    The order within a partition is kept: a timestamp below the timestamp before counts as equal to the one before.
    """

    def __init__(self) -> None:
        self._buffers: dict[Partition, list[tuple[int, Any]]] = {}  # partition -> (timestamp_ms, record), in order
        self._latest_ms: dict[Partition, int] = {}  # partition -> highest timestamp pushed

    @property
    def buffered(self) -> int:
        """Number of records that were pushed and not released."""
        return sum(map(len, self._buffers.values()))

    def push(self, partition: Partition, records: Collection[Any]) -> None:
        """Add records of a partition in the partition's order; each record has a `timestamp` in ms."""
        latest_ms = self._latest_ms.get(partition, -1)
        buffer = self._buffers.setdefault(partition, [])
        for record in records:
            if record.timestamp > latest_ms:
                latest_ms = record.timestamp
            buffer.append((latest_ms, record))
        self._latest_ms[partition] = latest_ms

    def release(self, lagging: Collection[Partition]) -> list[Any]:
        """Records in order of time that no later record of a partition in `lagging` can precede.

        `lagging` holds the partitions that have more records on the broker. Without such partitions, every buffered
        record is released.
        """
        horizon_ms = min(map(self._partition_latest_ms, lagging), default=None)
        released: list[tuple[int, Any]] = []
        for _, buffer in sorted(self._buffers.items()):  # equal timestamps are ordered by partition
            count = len(buffer) if horizon_ms is None else bisect_left(buffer, horizon_ms, key=itemgetter(0))
            released += buffer[:count]
            del buffer[:count]
        released.sort(key=itemgetter(0))
        return [record for _, record in released]

    def next_offset(self, partition: Partition) -> int | None:
        """The offset of the partition's first record that was not released; None where every record was released."""
        buffer = self._buffers.get(partition)
        return buffer[0][1].offset if buffer else None

    def full(self, lagging: Collection[Partition]) -> list[Partition]:
        """The partitions with a full buffer, except for the partition that all other partitions wait for."""
        earliest = min(lagging, key=self._partition_latest_ms, default=None)
        return [p for p, buffer in self._buffers.items() if len(buffer) >= BUFFER_RECORDS and p != earliest]

    def _partition_latest_ms(self, partition: Partition) -> int:
        return self._latest_ms.get(partition, -1)
