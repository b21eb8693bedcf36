"""Measures from outside what processes use and how far a topic has grown, in the same way for each contender."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
POLL_S = 0.1
CALM_S, CALM_SHARE, CALM_LIMIT_S = 2, 0.05, 120  # calm is less than this share of a core for CALM_S


class Sample(NamedTuple):
    """A moment of a run, with the events done and the CPU seconds used until then."""

    events: int
    at_s: float
    cpu_s: float  # of the contender
    services_cpu_s: dict[str, float]  # of Kafka and Cassandra
    rss_mb: float


def processes_of(session: int) -> list[list[str]]:
    """Return the fields of /proc/PID/stat, from the state on, of each process in the session that `session` leads."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended meanwhile
            continue
        if int(fields[3]) == session:
            found.append(fields)
    return found


def cpu_s(session: int) -> float:
    """Return the CPU seconds of a session's processes and of their children that ended."""
    return sum(sum(map(int, fields[11:15])) for fields in processes_of(session)) / TICKS_PER_S


def rss_mb(session: int) -> float:
    """Return the resident memory of a session's processes."""
    return sum(int(fields[21]) for fields in processes_of(session)) * PAGE_BYTES / 2**20


class Growth:
    """Counts the records written to a topic since the object was created."""

    def __init__(self, broker: str, topic: str, partitions: int) -> None:
        self._admin: Any = KafkaAdminClient(bootstrap_servers=broker)
        self._partitions = [TopicPartition(topic, partition) for partition in range(partitions)]
        self._before = self._end()

    def __call__(self) -> int:
        return self._end() - self._before

    def _end(self) -> int:
        found = self._admin.list_partition_offsets(dict.fromkeys(self._partitions, OffsetSpec.LATEST))
        return sum(result.offset for result in found.values())

    def close(self) -> None:
        self._admin.close()


def wait(growth: Growth, events: int, session: int, services: dict[str, int], limit_s: float) -> Sample:
    """Return the first sample with at least `events` done. Raises TimeoutError."""
    deadline = time.monotonic() + limit_s
    while (done := growth()) < events:
        if time.monotonic() > deadline or not processes_of(session):
            raise TimeoutError(f"{done:,} of {events:,} events after {limit_s:.0f} s, or it ended")
        time.sleep(POLL_S)
    used = {name: cpu_s(pid) for name, pid in services.items()}
    return Sample(done, time.perf_counter(), cpu_s(session), used, rss_mb(session))


def calm(services: dict[str, int]) -> None:
    """Wait until the services are idle. Cassandra still compacts the rows of the run before for a while."""
    for _ in range(CALM_LIMIT_S // CALM_S):
        used = sum(cpu_s(pid) for pid in services.values())
        time.sleep(CALM_S)
        if sum(cpu_s(pid) for pid in services.values()) - used < CALM_SHARE * CALM_S * max(1, len(services) / 2):
            return


def between(start: Sample, end: Sample) -> dict[str, float]:
    """Return the figures of the time between two samples."""
    n = end.events - start.events
    figures = {
        "events_per_s": n / (end.at_s - start.at_s),
        "cpu_us_per_event": (end.cpu_s - start.cpu_s) / n * 1e6,
        "rss_mb": end.rss_mb,
    }
    for name, used in end.services_cpu_s.items():
        figures[f"{name}_cpu_us_per_event"] = (used - start.services_cpu_s[name]) / n * 1e6
    return figures


def sessions(services: Iterable[tuple[str, int | None]]) -> dict[str, int]:
    return {name: pid for name, pid in services if pid is not None}


def wait_for(condition: Callable[[], bool], limit_s: float) -> None:
    """Return when the condition holds. Raises TimeoutError."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not ready after {limit_s:.0f} s")
        time.sleep(POLL_S)
