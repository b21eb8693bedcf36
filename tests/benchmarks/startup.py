"""How long commands and workers take to start, and how long a restarted process holds its partitions up.

`python -m tests.benchmarks.startup [--runs N] [--json]`: the median of N runs beside running services with topics that
exist. `first_event_s` is the time from the start of `thalweg worker` to the first applied event, for a group without
commits (`new`) and for one that has committed every partition (`known`). For the last figures, one of two workers is
killed under load and started again at once: by `thalweg worker --processes 2` (`supervised`), and as a worker of its
own (`alone`). A partition's gap is its longest time without an evaluation event.
"""

import argparse
import asyncio
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from aiokafka import TopicPartition

from export.runtime.bundle import Bundle
from streams.broker.clients import make_consumer
from streams.broker.topics import describe_topic, ensure_topics
from streams.commands.replay.producer import Replay
from streams.config.settings import Settings
from streams.demo.worker_process import WORKER_COMMAND, WorkerProcess
from streams.local import local_services
from tests.benchmarks.bench.load import named
from tests.support.bundles import tiny_bundle
from tests.support.deployment import event as behavior_event
from tests.support.deployment import record, shopping

RATE = 400.0  # events/s
KILL_AFTER_S, LOAD_S = 8.0, 30.0
POLL_S = 0.01


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    args = parser.parse_args()
    found = {"help_ms": median_ms(["--help"], args.runs), "worker_help_ms": median_ms(["worker", "--help"], args.runs)}
    with tempfile.TemporaryDirectory(prefix="thalweg-bench-") as folder, local_services() as services:
        bundle = tiny_bundle(Path(folder) / "bundle")
        settings = Settings(
            broker=services.kafka.address, cassandra=services.cassandra.address, bundle=str(bundle.path)
        )
        found |= first_events(settings, bundle, Path(folder), args.runs)
        for way in ("supervised", "alone"):
            (Path(folder) / way).mkdir()
            found |= gaps(named(settings, way), Path(folder) / way, way == "supervised")
    for name, value in found.items():
        print(f"{name:<28} {value:8.2f}")
    if args.json:
        print(json.dumps({"startup": found}))
    return 0


def median_ms(arguments: list[str], runs: int) -> float:
    """Return the median time of a command in milliseconds, after one run that fills the caches."""
    times = []
    for _ in range(runs + 1):
        began_s = time.perf_counter()
        subprocess.run([sys.executable, "-m", "streams.cli", *arguments], stdout=subprocess.DEVNULL, check=True)
        times.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(times[1:])


def first_events(settings: Settings, bundle: Bundle, folder: Path, runs: int) -> dict[str, float]:
    """Return the medians of `first_event_s`, and of the time that a stop takes."""
    new, known, stops = [], [], []
    for run in range(runs + 1):
        own = named(settings, f"run{run}")
        ensure_topics(own)
        group = own.consumer_group_id(bundle.bundle_id)
        for life, times in enumerate((new, known)):
            Replay(own, own.behavior_topic).run(shopping(200, 100, seed=life))
            (folder / f"run{run}-{life}").mkdir()
            worker = WorkerProcess(own, folder / f"run{run}-{life}" / "worker.log")
            began_s = time.monotonic()
            worker.start(wait=False)
            wait_for_records(worker, 1)
            times.append(time.monotonic() - began_s)
            while describe_topic(own, own.behavior_topic, group).lag:
                time.sleep(0.1)
            began_s = time.monotonic()
            worker.stop()
            stops.append(time.monotonic() - began_s)
    return {
        "first_event_new_s": statistics.median(new[1:]),
        "first_event_known_s": statistics.median(known[1:]),
        "stop_s": statistics.median(stops[2:]),
    }


def wait_for_records(worker: WorkerProcess, count: int) -> None:
    """Return when the worker has applied so many events."""
    while (reading := worker.scrape()) is None or reading.records("applied") < count:
        if worker.pid is None:
            raise SystemExit(f"the worker ended:\n{worker.last_lines()}")
        time.sleep(POLL_S)


def gaps(settings: Settings, folder: Path, is_supervised: bool) -> dict[str, float]:
    """Return the longest gap after the kill, over the partitions of the killed worker and over those of the other."""
    ensure_topics(settings)
    workers = []
    for name in ("one",) if is_supervised else ("one", "other"):
        (folder / name).mkdir()
        options = ("--processes", "2") if is_supervised else ()
        workers.append(WorkerProcess(settings, folder / name / "worker.log", [*WORKER_COMMAND, *options]))
        workers[-1].start(wait=False)
    for worker in workers:
        worker.wait_until_ready()
    replay = Replay(settings, settings.behavior_topic, RATE)
    sending = threading.Thread(target=replay.run, args=(events(int(RATE * LOAD_S)),))
    sending.start()
    arrivals = asyncio.run(follow(settings, workers, is_supervised))
    sending.join()
    for worker in workers:
        worker.stop()
    longest = sorted(max(later - earlier for earlier, later in itertools.pairwise(at)) for at in arrivals)
    way = "supervised" if is_supervised else "alone"
    half = len(longest) // 2  # each of the two has half of the partitions, and those of the killed one wait longer
    return {f"gap_killed_{way}_s": longest[-1], f"gap_other_{way}_s": longest[half - 1]}


async def follow(settings: Settings, workers: list[WorkerProcess], is_supervised: bool) -> list[list[float]]:
    """Kill one worker during the load. Return for each partition the times at which evaluation events came since."""
    consumer = make_consumer(settings)
    await consumer.start()
    partitions = [TopicPartition(settings.evaluation_topic, i) for i in range(settings.partitions)]
    consumer.assign(partitions)
    arrivals: dict[TopicPartition, list[float]] = {partition: [] for partition in partitions}
    began_s, killed_s = time.monotonic(), None
    while (now_s := time.monotonic()) - began_s < LOAD_S:
        if killed_s is None and now_s - began_s > KILL_AFTER_S:
            killed_s = now_s
            kill_one(workers, is_supervised)
        for partition, records in (await consumer.getmany(timeout_ms=20)).items():
            if records and killed_s is not None:
                arrivals[partition].append(time.monotonic())
    await consumer.stop()
    return [[killed_s or began_s, *at] for at in arrivals.values()]


def kill_one(workers: list[WorkerProcess], is_supervised: bool) -> None:
    """Kill a worker. A worker alone is started again at once, as the supervisor starts its process."""
    if not is_supervised:
        workers[0].kill()
        workers[0].start(wait=False)
        return
    lines = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid="], text=True).splitlines()
    children = [int(pid) for pid, parent in map(str.split, lines) if int(parent) == workers[0].pid]
    os.kill(children[0], signal.SIGKILL)


def events(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of views by many users."""
    for i in range(count):
        yield record(behavior_event(f"e{i}", f"user-{i % 997}", f"item-{1 + i % 500}", time_ms=10**12 + i))


if __name__ == "__main__":
    sys.exit(main())
