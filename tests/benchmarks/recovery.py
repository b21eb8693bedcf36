"""How long a restarted worker takes to apply its first event and to reach full speed, by number of stored users.

`python -m tests.benchmarks.recovery [--users N ...] [--json]`: the rows of N users are stored, a backlog of events
waits, and a worker starts with an empty memory. A few users have most of the events (Zipf, exponent 1), as in any shop.
Times count from the moment at which the worker has partitions. Full speed is 90% of the median rate of the last third
of the run.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from export.runtime.bundle import Bundle
from streams.broker.topics import ensure_topics
from streams.commands.replay.producer import Replay
from streams.config.settings import Settings
from streams.demo.worker_process import WorkerProcess
from streams.engine.epochs import Epoch, EpochView
from streams.engine.planning.rows import Rows
from streams.local import local_services
from streams.store.store import open_store
from tests.benchmarks.bench.load import named
from tests.support.bundles import tiny_bundle

ITEMS, WIDTH = 5_000, 64
EVENTS = 700_000  # about a minute of work
SAMPLE_S = 1.0
CHUNK = 6_000  # rows stored at a time


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    args = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(prefix="thalweg-bench-") as folder, local_services(long_running=True) as services:
        bundle = tiny_bundle(Path(folder) / "bundle", ITEMS, WIDTH)
        for users in args.users:
            name = f"r{users}"
            settings = Settings(
                broker=services.kafka.address, cassandra=services.cassandra.address, bundle=str(bundle.path)
            )
            settings = named(settings, name)
            ensure_topics(settings)
            stored_s = fill(settings, bundle, users)
            Replay(settings, settings.behavior_topic).run(events(users))
            result = {"users": users, "rows_stored_per_s": users / stored_s, **restart(settings, Path(folder) / name)}
            found.append(result)
            print(", ".join(f"{key} {value:,.1f}" for key, value in result.items()), flush=True)
    if args.json:
        print(json.dumps({"recovery": found}))
    return 0


def fill(settings: Settings, bundle: Bundle, users: int) -> float:
    """Store a row of each user as in an earlier epoch of the topic. Returns the seconds that this took."""
    store = open_store(settings, bundle)
    store.registry.begin_epoch(settings.behavior_topic, Epoch(0, uuid.uuid4(), 4, ()))
    store.users.use_epoch(EpochView(0, frozenset([0])))
    draw = np.random.default_rng(0)
    began = time.monotonic()

    async def write() -> None:
        for start in range(0, users, CHUNK):
            rows = Rows([f"user-{i}" for i in range(start, min(users, start + CHUNK))])
            rows.partition[:], rows.offset[:], rows.steps[:], rows.last_time_ms[:] = 0, 1, 9, 10**12
            rows.last_item[:] = "item-1"
            state = draw.normal(size=(len(rows), bundle.manifest.state_width)).astype(np.float32)
            vector = draw.normal(size=(len(rows), bundle.manifest.representation_width)).astype(np.float32)
            await store.users.write(store.users.encode(rows, state, vector, 0, now_ms=0))

    asyncio.run(write())
    store.close()
    return time.monotonic() - began


def events(users: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of EVENTS events."""
    draw = np.random.default_rng(1)
    weights = 1 / np.arange(1, users + 1)
    chosen = np.searchsorted(np.cumsum(weights / weights.sum()), draw.random(EVENTS)).clip(0, users - 1)
    names = draw.permutation(users)[chosen].tolist()
    items = draw.integers(1, ITEMS + 1, EVENTS).tolist()
    for i, (user, item) in enumerate(zip(names, items, strict=True)):
        key = f"user-{user}"
        value = {"event_id": str(i), "user_id": key, "item_id": f"item-{item}", "action": "view"}
        yield key.encode(), msgspec.json.encode(value | {"event_time_ms": 10**12 + i})


def restart(settings: Settings, folder: Path) -> dict[str, float]:
    """Start a worker and return its times until it has applied all events."""
    folder.mkdir()
    worker = WorkerProcess(settings, folder / "worker.log")
    worker.start(wait=False)
    try:
        began, first, points = None, None, []
        while not points or points[-1][1] < EVENTS:
            time.sleep(0.05 if first is None else SAMPLE_S)
            now = time.monotonic()
            if worker.pid is None:
                raise SystemExit(f"the worker ended:\n{worker.last_lines()}")
            if began is None and worker.has_partitions():
                began = now
            reading = worker.scrape()
            applied = 0 if reading is None else reading.records("applied")
            if applied and first is None:
                first = now
            if first is not None:
                points.append((now, applied))
        memory_mb = resident_mb(worker.pid)
    finally:
        worker.stop()
    began = first if began is None else min(began, first)
    rates = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(points)]
    full = statistics.median(rates[-len(rates) // 3 : -1] or rates)
    reached = next(at for (at, _), rate in zip(points[1:], rates, strict=True) if rate >= 0.9 * full)
    return {
        "first_event_s": first - began,
        "full_speed_after_s": reached - began,
        "full_speed_events_per_s": full,
        "rss_mb": memory_mb,
    }


def resident_mb(pid: int | None) -> float:
    """Return the resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024


if __name__ == "__main__":
    sys.exit(main())
