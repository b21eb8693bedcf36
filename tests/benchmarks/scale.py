"""What users and items cost: throughput, CPU and memory by the number of users, of items and of workers.

`python -m tests.benchmarks.scale [--users N ...] [--items N ...] [--events N] [--json]`: events of users drawn
uniformly, so that nothing can be won by a cache, on a fresh topic; the arena holds all users. The model is of all the
parts that training gives one. Users vary over the first number of items, items over the first number of users, and the
same topic is read by one worker and by two that share its partitions. Larger catalogues are evaluated by a sample, as
many events as keep the scores to those of 10,000 items an event. Figures are of the last four fifths of a topic.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from export.bundle import Bundle
from streams.demo.worker_process import Reading, WorkerProcess
from streams.local import LocalServices, local_services
from streams.replay import Replay
from streams.settings import Settings
from streams.topics import ensure_topics
from tests.benchmarks.bench import load
from tests.benchmarks.bench.watch import Sample, between, cpu_s, rss_mb, sessions

SCORES_AN_EVENT = 10_000  # of its ranks over the catalogue, on average: 16 us of CPU
EVENTS_A_USER = 3  # at least, so that 95% of them come
LIMIT_S, POLL_S = 1_800.0, 0.2
FLOAT_BYTES, MB = 4, 2**20

COLUMNS = {
    "users": "{:,.0f}",
    "items": "{:,.0f}",
    "workers": "{:.0f}",
    "evaluation_share": "{:.4g}",
    "events_per_s": "{:,.0f}",
    "cpu_us_per_event": "{:.0f}",
    "kafka_cpu_us_per_event": "{:.0f}",
    "cassandra_cpu_us_per_event": "{:.0f}",
    "rows_per_event": "{:.2f}",
    "users_in_memory": "{:,.0f}",
    "start_s": "{:.1f}",
    "rss_mb": "{:,.0f}",
    "bytes_per_user": "{:,.0f}",
    "times_its_vectors": "{:.2f}",
}


class Case(NamedTuple):
    """A topic's users and events, and who reads it."""

    users: int
    items: int
    workers: int
    events: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--items", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--events", type=int, default=400_000, help="of a topic, or more where there are many users")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    args = parser.parse_args()
    found: list[dict[str, float]] = []
    print(" | ".join(COLUMNS), flush=True)
    with tempfile.TemporaryDirectory(prefix="thalweg-bench-") as folder, local_services() as services:
        bundles: dict[int, Bundle] = {}
        for number, case in enumerate(cases(args.users, args.items, args.events)):
            if case.items not in bundles:
                bundles[case.items] = load.bundle(Path(folder) / f"bundle-{case.items}", case.items, is_whole=True)
            bundle = bundles[case.items]
            figures = measure(services, bundle, case, Path(folder) / str(number))
            found.append(figures | per_user(figures, found, bundle))
            print(
                " | ".join(form.format(found[-1].get(name, float("nan"))) for name, form in COLUMNS.items()), flush=True
            )
    if args.json:
        print(json.dumps({"scale": found}))
    return 0


def cases(users: Sequence[int], items: Sequence[int], events: int) -> Iterator[Case]:
    """Users, then items, then workers vary."""
    for count in users:
        yield Case(count, items[0], 1, max(events, EVENTS_A_USER * count))
    for count in items[1:]:
        yield Case(users[0], count, 1, events)
    yield Case(users[0], items[0], 2, events)


def measure(services: LocalServices, bundle: Bundle, case: Case, folder: Path) -> dict[str, float]:
    """Figures of one case, on topics and a keyspace of its own."""
    folder.mkdir()
    settings = Settings(
        broker=services.kafka.address,
        cassandra=services.cassandra.address,
        bundle=str(bundle.path),
        arena_max_users=max(1_000_000, case.users),
        evaluation_share=min(1.0, SCORES_AN_EVENT / case.items),
    )
    settings = load.named(settings, f"s{folder.name}")
    ensure_topics(settings)
    Replay(settings, settings.behavior_topic).run(load.events(case.events, case.users, case.items))
    homes = [folder / f"worker-{number}" for number in range(case.workers)]
    for home in homes:
        home.mkdir()  # of its own: a folder's lock allows one process
    workers = [WorkerProcess(settings, home / "worker.log") for home in homes]
    try:
        began_s = time.monotonic()
        for worker in workers:
            worker.start(wait=False)
        _wait(workers, lambda: all(worker.has_partitions() for worker in workers))
        ready_s = time.monotonic()
        start, before = reached(workers, services, case.events // 5)
        if start.events > case.events // 2:
            raise SystemExit(
                f"{start.events:,} of {case.events:,} events were done before all workers were ready: raise --events"
            )
        end, after = reached(workers, services, case.events)
    finally:
        for worker in workers:
            worker.stop()
    rows = _sum(after, "thalweg_rows_written_total") - _sum(before, "thalweg_rows_written_total")
    return {
        **case._asdict(),
        "evaluation_share": settings.evaluation_share,
        **between(start, end),
        "rows_per_event": rows / (end.events - start.events),
        "users_in_memory": _sum(after, "thalweg_users_in_memory"),
        "start_s": ready_s - began_s,
    }


def reached(workers: Sequence[WorkerProcess], services: LocalServices, events: int) -> tuple[Sample, list[Reading]]:
    """What was used, and what the workers said, once together they are through with `events`."""
    readings: list[Reading] = []
    done = 0

    def is_reached() -> bool:
        nonlocal readings, done
        readings = [reading for worker in workers if (reading := worker.read()) is not None]
        done = sum(reading.records(outcome) for reading in readings for outcome in ("applied", "already_applied"))
        return len(readings) == len(workers) and done >= events

    _wait(workers, is_reached)
    pids = [worker.pid for worker in workers if worker.pid is not None]
    others = sessions([("kafka", services.kafka.pid), ("cassandra", services.cassandra.pid)])
    used = {name: cpu_s(pid) for name, pid in others.items()}
    at_s = time.perf_counter()
    return Sample(done, at_s, sum(map(cpu_s, pids)), used, sum(map(rss_mb, pids))), readings


def _wait(workers: Sequence[WorkerProcess], holds: Callable[[], bool]) -> None:
    """Until it holds. Raises SystemExit with the log's end where a worker ends or nothing comes of it."""
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        for worker in workers:
            if worker.pid is None or time.monotonic() > deadline:
                raise SystemExit(f"a worker ended, or was not through after {LIMIT_S:.0f} s:\n{worker.last_lines()}")
        time.sleep(POLL_S)


def per_user(figures: dict[str, float], earlier: Sequence[dict[str, float]], bundle: Bundle) -> dict[str, float]:
    """Bytes of memory that a further user takes, against the case before, and how many times its state and vector.

    Batches in flight have more rows where users repeat less: at few users that is most of the difference.
    """
    if not earlier or figures["users"] <= earlier[-1]["users"]:
        return {}
    further = figures["users_in_memory"] - earlier[-1]["users_in_memory"]
    size = (figures["rss_mb"] - earlier[-1]["rss_mb"]) * MB / further
    vectors = FLOAT_BYTES * (bundle.manifest.state_width + bundle.manifest.representation_width)
    return {"bytes_per_user": size, "times_its_vectors": size / vectors}


def _sum(readings: Sequence[Reading], metric: str) -> int:
    return sum(reading.count(metric) for reading in readings)


if __name__ == "__main__":
    sys.exit(main())
