"""Throughput of the whole job beside a plain Faust script, alternately, on the same topic, graphs and machine.

`python -m tests.benchmarks.whole_job [--events N] [--rounds N] [--json]`: decode, look up state, exact rank over 5,000
items, step, store in Cassandra, publish the evaluation event (Thalweg also the representation), for every event.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from export.bundle import Bundle
from streams.demo.worker_process import WorkerProcess
from streams.local import LocalServices, local_services
from streams.replay import Replay
from streams.settings import Settings
from streams.topics import ensure_topics
from tests.bundles import tiny_bundle

ITEMS, WIDTH, USERS = 5_000, 64, 20_000
PLAIN_EVENTS = 10_000
PLAIN_LIMIT_S = 120
CLOCK_TICKS_PER_S = 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    args = parser.parse_args()
    measured: dict[str, list[dict[str, float]]] = {"thalweg": [], "plain_faust": []}
    with tempfile.TemporaryDirectory(prefix="thalweg-bench-") as folder, local_services() as services:
        work = Path(folder)
        bundle = tiny_bundle(work / "bundle", ITEMS, WIDTH)
        settings = Settings(
            broker=services.kafka.address, cassandra=services.cassandra.address, bundle=str(bundle.path)
        )
        ensure_topics(settings)
        ensure_topics(msgspec.structs.replace(settings, evaluation_topic="plain.evaluations"))
        Replay(settings, settings.behavior_topic).run(events(args.events))
        for turn in range(args.rounds):
            measured["plain_faust"].append(plain_faust(services, settings, bundle))
            print(f"plain Faust: {shown(measured['plain_faust'][-1])}", flush=True)
            measured["thalweg"].append(thalweg(settings, work, turn, args.events))
            print(f"Thalweg:     {shown(measured['thalweg'][-1])}", flush=True)
    result = {
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]} for name, runs in measured.items()
    }
    ratio = result["thalweg"]["events_per_s"] / result["plain_faust"]["events_per_s"]
    print(f"median of {args.rounds}: Thalweg {shown(result['thalweg'])}; plain Faust {shown(result['plain_faust'])}")
    print(f"ratio: {ratio:.1f}")
    if args.json:
        print(json.dumps({**result, "ratio": ratio}))
    return 0


def events(count: int) -> Iterator[tuple[bytes, bytes]]:
    draw = random.Random(0)
    start_ms = int(time.time() * 1000) - 86_400_000
    for i in range(count):
        user = f"user-{draw.randrange(USERS)}"
        value = {
            "event_id": f"{i:012d}",
            "user_id": user,
            "item_id": f"item-{draw.randrange(ITEMS) + 1}",
            "action": ("view", "cart", "purchase")[i % 3],
            "event_time_ms": start_ms + i,
        }
        yield user.encode(), msgspec.json.encode(value)


def plain_faust(services: LocalServices, settings: Settings, bundle: Bundle) -> dict[str, float]:
    script = Path(__file__).with_name("plain_faust.py")
    command = [services.kafka.address, services.cassandra.address, settings.behavior_topic, str(bundle.path)]
    ended = subprocess.run(
        [sys.executable, str(script), *command, str(PLAIN_EVENTS)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=PLAIN_LIMIT_S,
        cwd=Path(__file__).parents[2],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    measured: dict[str, float] = json.loads(ended.stdout[ended.stdout.index("{") : ended.stdout.index("}") + 1])
    return measured


def thalweg(settings: Settings, work: Path, turn: int, count: int) -> dict[str, float]:
    """From the first fifth to the end of the topic, with a keyspace and a group of its own: nothing is stored yet."""
    own = msgspec.structs.replace(settings, group=f"bench-{turn}", keyspace=f"bench_{turn}")
    worker = WorkerProcess(own, work / f"worker-{turn}.log")
    worker.start()
    try:
        start = point(worker, count // 5)
        end = point(worker, count)
    finally:
        worker.stop()
    n = end[0] - start[0]
    return {"events_per_s": n / (end[1] - start[1]), "cpu_us_per_event": (end[2] - start[2]) / n * 1e6}


def point(worker: WorkerProcess, applied: int) -> tuple[int, float, float]:
    """(applied, seconds, CPU seconds) once at least `applied` events are stored."""
    while True:
        reading = worker.read()
        if reading is not None and reading.records("applied") >= applied:
            ticks = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
            return reading.records("applied"), time.perf_counter(), sum(map(int, ticks)) / CLOCK_TICKS_PER_S
        if worker.pid is None:
            raise SystemExit(f"the worker ended:\n{worker.last_lines()}")
        time.sleep(0.1)


def shown(measured: dict[str, float]) -> str:
    return f"{measured['events_per_s']:,.0f} events/s, {measured['cpu_us_per_event']:.0f} us CPU an event"


if __name__ == "__main__":
    sys.exit(main())
