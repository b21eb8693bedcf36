"""Measures what workers use between two moments of a run, what a first start takes and what a rank costs."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from streams.broker.topics import ensure_topics
from streams.config.settings import Settings
from streams.demo.scraped_metrics import ScrapedMetrics
from streams.demo.worker_process import WorkerProcess
from streams.local import LocalServices
from streams.store.protocol.cluster import connect
from streams.store.store import open_store
from tests.benchmarks.bench import load
from tests.benchmarks.bench.watch import Sample, between, calm, cpu_s, rss_mb, sessions
from tests.benchmarks.scale.plan import FIRST_EVENTS, PARTITIONS, Run
from tests.benchmarks.scale.topic import Ends, fill, send_stretches, send_windowed

SCORES_AN_EVENT = 10_000  # scores for ranks over the catalogue, on average for each event: 16 us of CPU
LIMIT_S, POLL_S, SETTLED_S = 1_800.0, 0.2, 3.0
RANKS = 256  # ranks in a call
# The workers are paused for half a minute while events are sent, and must not lose their partitions. A third of the
# session's time may have passed since the last heartbeat.
SESSION_S = 90
FLOAT_BYTES, MB = 4, 2**20
Figures = dict[str, Any]


class Moment(NamedTuple):
    sample: Sample  # its events are those that are confirmed in all partitions
    rows: int  # rows written until then


class Crew:
    """The workers of one topic."""

    def __init__(self, settings: Settings, services: LocalServices, folder: Path, count: int = 1) -> None:
        folder.mkdir(parents=True)
        homes = [folder / f"worker-{number}" for number in range(count)]
        for home in homes:
            home.mkdir()  # one for each worker, since the lock of a folder allows one process
        self._workers = [WorkerProcess(settings, home / "worker.log") for home in homes]
        self._services = services

    def __enter__(self) -> "Crew":
        for worker in self._workers:
            worker.start(wait=False)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stop()

    def has_partitions(self) -> bool:
        return all(worker.has_partitions() for worker in self._workers)

    def readings(self) -> list[ScrapedMetrics]:
        """Return the metrics of all workers, or an empty list if one of them does not answer."""
        found = [reading for worker in self._workers if (reading := worker.scrape()) is not None]
        return found if len(found) == len(self._workers) else []

    def count(self, metric: str) -> int:
        return sum(reading.total(metric) for reading in self.readings())

    def wait(self, holds: Callable[[], bool]) -> None:
        """Wait until `holds()`. Raises SystemExit with the end of the log if a worker ends or after LIMIT_S."""
        deadline = time.monotonic() + LIMIT_S
        while not holds():
            for worker in self._workers:
                if worker.pid is None or time.monotonic() > deadline:
                    raise SystemExit(f"a worker ended, or took over {LIMIT_S:.0f} s:\n{worker.last_lines()}")
            time.sleep(POLL_S)

    def moment(self, ends: Ends, holds: Callable[[Ends], bool]) -> Moment:
        """Return the first moment at which `holds` is true of the confirmed offsets, given the topic's end offsets."""
        readings: list[ScrapedMetrics] = []
        done: Ends = {}

        def is_reached() -> bool:
            nonlocal readings, done
            readings = self.readings()
            behind = [item for reading in readings for item in reading.lag_by_partition().items()]
            done = {partition: ends[partition] - lag for partition, lag in behind}
            return len(done) == len(ends) and holds(done)

        self.wait(is_reached)
        at_s = time.perf_counter()
        pids = [worker.pid for worker in self._workers if worker.pid is not None]
        used = {
            name: sum(cpu_s(node.pid) for node in nodes if node.pid is not None)
            for name, nodes in self._services.nodes.items()
        }
        sample = Sample(sum(done.values()), at_s, sum(map(cpu_s, pids)), used, sum(map(rss_mb, pids)))
        return Moment(sample, sum(reading.total("thalweg_rows_written_total") for reading in readings))

    def is_behind(self, events: int) -> bool:
        return sum(lag for reading in self.readings() for lag in reading.lag_by_partition().values()) > events

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause all workers (SIGSTOP)."""
        for worker in self._workers:
            worker.pause()
        try:
            yield
        finally:
            for worker in self._workers:
                worker.resume()

    def resident_mb(self) -> float:
        return sum(rss_mb(worker.pid) for worker in self._workers if worker.pid is not None)


def settings_of(services: LocalServices, bundle: Bundle, name: str, users: int) -> Settings:
    """Return settings with topics and a keyspace of this name, and with room for all users in memory."""
    items = bundle.manifest.items
    settings = Settings(
        **services.client_settings,
        bundle=str(bundle.path),
        partitions=PARTITIONS,
        arena_max_users=max(1_000_000, users),
        evaluation_share=min(1.0, SCORES_AN_EVENT / items),
        session_timeout_s=SESSION_S,
    )
    settings = load.named(settings, name)
    ensure_topics(settings)
    return settings


def _running(services: LocalServices) -> dict[str, int]:
    return sessions((name, node.pid) for name, node in services.processes.items())


def measure(
    services: LocalServices, bundle: Bundle, run: Run, events: int, empty_mb: float, folder: Path
) -> list[Figures]:
    """Return the figures of each stretch of a run.

    Before the first stretch all users are in memory and their rows are compacted. `empty_mb` is the memory of a worker
    without users.
    """
    settings = settings_of(services, bundle, f"s{folder.name}", run.users)
    _skip_item_vectors(settings, bundle)
    filled, found = fill(settings, run), []
    running = _running(services)
    calm(running)
    with Crew(settings, services, folder, run.workers) as crew:
        crew.moment(filled, lambda done: done == filled and crew.has_partitions())
        calm(running)
        with crew.paused():
            stretches = send_stretches(settings, run, events)
        crew.wait(lambda: crew.is_behind(events // 2))  # at first the workers still know the old end of the topic
        ends = stretches[-1].end
        for draw, begin, end in stretches:
            start, last = _measured(crew, ends, begin, end, events)
            count = last.sample.events - start.sample.events
            if count < events // 2:
                raise SystemExit(
                    f"only {count:,} of {events:,} events were left when all workers were ready: raise --events"
                )
            users = crew.count("thalweg_users_in_memory")
            found.append(
                {
                    "users": run.users,
                    "items": run.items,
                    "workers": run.workers,
                    "draw": draw,
                    "evaluation_share": settings.evaluation_share,
                    "events": count,
                    **between(start.sample, last.sample),
                    "rows_per_event": (last.rows - start.rows) / count,
                    "users_in_memory": users,
                    **memory(last.sample.rss_mb - empty_mb * run.workers, users, bundle),
                }
            )
    drop(settings)
    return found


def _skip_item_vectors(settings: Settings, bundle: Bundle) -> None:
    """Mark the item vectors as stored, so that workers do not write them here. `first_start` measures the writing."""
    store = open_store(settings, bundle)
    asyncio.run(store.items.mark(bundle.manifest.items))
    store.close()


def _measured(crew: Crew, ends: Ends, begin: Ends, end: Ends, events: int) -> tuple[Moment, Moment]:
    """Return the moment at which all partitions have passed `begin` and all workers run, and that `events` later."""
    start = crew.moment(ends, lambda done: all(done[p] >= begin[p] for p in done) and crew.has_partitions())
    enough = min(start.sample.events + events, sum(end.values()))
    return start, crew.moment(ends, lambda done: sum(done.values()) >= enough)


def memory(further_mb: float, users: int, bundle: Bundle) -> dict[str, float]:
    """Return the bytes that a user adds to a worker without users, and their ratio to the user's state and vector.

    With few users, most of this is memory of batches in flight. An arena of a million slots has 20 MB without users.
    """
    size = further_mb * MB / max(1, users)
    vectors = FLOAT_BYTES * (bundle.manifest.state_width + bundle.manifest.representation_width)
    return {"bytes_per_user": size, "times_its_vectors": size / vectors}


def first_start(services: LocalServices, bundle: Bundle, users: int, folder: Path) -> Figures:
    """Measure a worker's first start and an idle worker.

    The figures are the time until the first batch is confirmed, the rates while item vectors are registered, and the
    memory of a worker that has nothing to do.
    """
    items = bundle.manifest.items
    settings = settings_of(services, bundle, f"f{items}", users)
    ends = send_windowed(settings, users, items, FIRST_EVENTS)
    calm(_running(services))
    figures: Figures = {"items": items}
    with Crew(settings, services, folder / "first") as crew:
        began_s = time.monotonic()
        crew.wait(lambda: crew.count("thalweg_records_total") > 0)
        figures["first_confirmed_s"] = time.monotonic() - began_s
        figures |= _while_registering(crew, ends, items)
        crew.moment(ends, lambda done: done == ends)
    with Crew(settings, services, folder / "again") as crew:
        crew.wait(crew.has_partitions)
        time.sleep(SETTLED_S)
        figures["empty_worker_mb"] = crew.resident_mb()
    drop(settings)
    return figures


def _while_registering(crew: Crew, ends: Ends, items: int) -> Figures:
    """Return vectors/s until all are stored, and events/s meanwhile, or None if one of both ends too soon."""

    def stored() -> int:
        return crew.count("thalweg_item_vectors_stored")

    total = sum(ends.values())
    start = crew.moment(ends, lambda done: sum(done.values()) > total // 4)
    before, began_s = stored(), time.perf_counter()
    last = crew.moment(ends, lambda done: done == ends or stored() >= items)
    events = last.sample.events - start.sample.events
    taken_s = last.sample.at_s - start.sample.at_s
    crew.wait(lambda: stored() >= items)
    if before >= items or events < total // 10:
        return {"vectors_per_s": None, "events_per_s_beside": None}
    return {
        "vectors_per_s": (items - before) / (time.perf_counter() - began_s),
        "events_per_s_beside": events / taken_s,
    }


def rank_ms(bundle: Bundle) -> float:
    """Return the CPU time of a rank over the catalogue when RANKS are computed in a call."""
    stepper, draw, manifest = Stepper(bundle), np.random.default_rng(0), bundle.manifest
    query = np.tile(bundle.initial_query, (RANKS, 1))
    query[:, : manifest.representation_width] = draw.normal(size=(RANKS, manifest.representation_width))
    item = draw.integers(1, manifest.items + 1, RANKS)
    stepper.rank(query, item)
    began_s, rounds = time.process_time(), 0
    while (used_s := time.process_time() - began_s) < 1.0:
        stepper.rank(query, item)
        rounds += 1
    return used_s / (RANKS * rounds) * 1000


def drop(settings: Settings) -> None:
    """Drop the keyspace, so that Cassandra does not compact its rows during the next run."""
    cluster, session = connect(settings)
    session.execute(f"DROP KEYSPACE {settings.keyspace}", timeout=120)
    cluster.shutdown()


def ratios(found: Sequence[Figures]) -> list[str]:
    """Describe the rates relative to that of the first number of users with one worker."""
    lines = []
    rates = {(f["users"], f["items"], f["workers"], f["draw"]): f["events_per_s"] for f in found}
    (users, items, _, _), *_ = rates
    for (more, of_items, workers, draw), rate in rates.items():
        base = rates.get((users, items, 1, draw))
        if base is not None and of_items == items and (more, workers) != (users, 1):
            lines.append(
                f"{draw}: {more:,} users, {workers} workers: {rate / base:.2f} of {users:,} users with 1 worker"
            )
    return lines
