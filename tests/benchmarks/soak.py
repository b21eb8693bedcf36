"""A long run at half of the peak rate, with memory, lag and freshness of each minute.

`python -m tests.benchmarks.soak [--minutes 30] [--rate 6000] [--json]`. A run is flat if the slope of the worker's
resident memory after warm-up (a least-squares line over the last two thirds) is under 1 MB per minute, lag does not
grow, and the freshness p99 of the last third is that of the middle third. Users return and new users appear. There are
more users than fit into the arena, so that the worker also evicts users.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from streams.broker.topics import ensure_topics
from streams.commands.replay.producer import Replay
from streams.config.settings import Settings
from streams.demo.scraped_metrics import ScrapedMetrics
from streams.demo.worker_process import WorkerProcess
from streams.local import local_services
from tests.benchmarks.recovery import ITEMS, WIDTH, resident_mb
from tests.support.bundles import tiny_bundle

USERS, ARENA_USERS = 200_000, 60_000
MINUTE_S = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--rate", type=float, default=6_000.0, help="events/s (default: half of the peak rate)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    args = parser.parse_args()
    minutes: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="thalweg-soak-") as folder, local_services(long_running=True) as services:
        bundle = tiny_bundle(Path(folder) / "bundle", ITEMS, WIDTH)
        settings = Settings(
            broker=services.kafka.address,
            cassandra=services.cassandra.address,
            bundle=str(bundle.path),
            arena_max_users=ARENA_USERS,
        )
        ensure_topics(settings)
        worker = WorkerProcess(settings, Path(folder) / "worker.log")
        worker.start()
        replay = Replay(settings, settings.behavior_topic, args.rate)
        sender = threading.Thread(target=replay.run, args=[events()])
        sender.start()
        before = worker.scrape()
        try:
            for minute in range(1, args.minutes + 1):
                time.sleep(MINUTE_S)
                reading = worker.scrape()
                if reading is None or before is None:
                    raise SystemExit(f"the worker does not answer:\n{worker.last_lines()}")
                minutes.append({"minute": minute, "rss_mb": resident_mb(worker.pid), **_since(before, reading)})
                print(", ".join(f"{key} {value:,.1f}" for key, value in minutes[-1].items()), flush=True)
                before = reading
        finally:
            replay.stop()
            sender.join()
            worker.stop()
    settled = minutes[len(minutes) // 3 :]
    slope = float(np.polyfit([m["minute"] for m in settled], [m["rss_mb"] for m in settled], 1)[0])
    half = len(settled) // 2
    p99_ms = [float(np.median([m["p99_ms"] for m in part])) for part in (settled[:half], settled[half:])]
    result = {"rss_slope_mb_per_min": slope, "p99_ms": p99_ms, "largest_lag": max(m["lag"] for m in settled)}
    print(result)
    if args.json:
        print(json.dumps({**result, "minutes": minutes}))
    return 0


def _since(before: ScrapedMetrics, now: ScrapedMetrics) -> dict[str, float]:
    """Return the figures of the time between two readings of the metrics."""
    return {
        "events_per_s": (now.records("applied") - before.records("applied")) / MINUTE_S,
        "lag": float(now.lag),
        "p50_ms": now.freshness_ms(0.5, before) or 0.0,
        "p99_ms": now.freshness_ms(0.99, before) or 0.0,
    }


def events() -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of events without end."""
    draw, number = np.random.default_rng(0), 0
    while True:
        users = (USERS * draw.random(10_000) ** 3).astype(int).tolist()  # a few users have many events, most have few
        items = draw.integers(1, ITEMS + 1, 10_000).tolist()
        for user, item in zip(users, items, strict=True):
            number += 1
            key = f"user-{user}"
            value = {"event_id": str(number), "user_id": key, "item_id": f"item-{item}", "action": "view"}
            yield key.encode(), msgspec.json.encode(value | {"event_time_ms": 10**12 + number})


if __name__ == "__main__":
    sys.exit(main())
