"""Puts records of several partitions in the order of their timestamps. Pure: no I/O, no clock.

The baselines learn from the stream in the order they see it. A consumer that catches up receives each partition in
large lumps, and other lumps each time; merged by timestamp, a re-reading monitor sees what a live one saw.
"""

from bisect import bisect_left
from collections.abc import Collection
from operator import itemgetter
from typing import Any

BUFFER_RECORDS = 10_000  # of a partition, before it waits for the others


class PartitionMerge:
    """Buffers records per partition and releases them once nothing earlier can come.

    A partition's own order is kept: a timestamp smaller than the one before it counts as equal to that.
    """

    def __init__(self) -> None:
        self._buffers: dict[int, list[tuple[int, Any]]] = {}  # partition -> (timestamp_ms, record), in order
        self._latest_ms: dict[int, int] = {}

    @property
    def buffered(self) -> int:
        """Number of records pushed and not released."""
        return sum(map(len, self._buffers.values()))

    def push(self, partition: int, records: Collection[Any]) -> None:
        """Add records of a partition in their order; each has a `timestamp` in ms."""
        latest_ms = self._latest_ms.get(partition, -1)
        buffer = self._buffers.setdefault(partition, [])
        for record in records:
            if record.timestamp > latest_ms:
                latest_ms = record.timestamp
            buffer.append((latest_ms, record))
        self._latest_ms[partition] = latest_ms

    def release(self, behind: Collection[int]) -> list[Any]:
        """Records in order of time, up to where the partitions in `behind` (more to come at once) have got.

        With nothing behind everything is released.
        """
        horizon_ms = min(map(self._latest, behind), default=None)
        ready: list[tuple[int, Any]] = []
        for _, buffer in sorted(self._buffers.items()):  # equal times: by partition, however they came
            count = len(buffer) if horizon_ms is None else bisect_left(buffer, horizon_ms, key=itemgetter(0))
            ready += buffer[:count]
            del buffer[:count]
        ready.sort(key=itemgetter(0))
        return [record for _, record in ready]

    def full(self, behind: Collection[int]) -> list[int]:
        """The partitions that hold enough until the others have got further; never the one that all wait for."""
        earliest = min(behind, key=self._latest, default=None)
        return [p for p, buffer in self._buffers.items() if len(buffer) >= BUFFER_RECORDS and p != earliest]

    def _latest(self, partition: int) -> int:
        return self._latest_ms.get(partition, -1)
