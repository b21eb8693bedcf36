"""How old an event is when its user's new representation can be read, at a steady rate of events."""

import threading
import time
from collections.abc import Sequence

import msgspec

from streams.demo.worker_process import Reading, WorkerProcess
from streams.replay import Replay
from streams.topics import ensure_topics
from tests.benchmarks.bench.contenders import Arena
from tests.benchmarks.bench.load import events

WARM_S = 8.0  # users' rows are read once, pages are touched, the broker knows the topic


def freshness(arena: Arena, rates: Sequence[float], seconds: float) -> dict[str, dict[str, float]]:
    """By rate in events/s: p50, p99 and p99.9 in ms, from the worker's histogram, over `seconds` each."""
    topics = {name: f"fresh.{name}" for name in arena.settings.__struct_fields__ if name.endswith("_topic")}
    settings = msgspec.structs.replace(arena.settings, group="fresh", keyspace="fresh", **topics)
    ensure_topics(settings)
    worker = WorkerProcess(settings, arena.work / "fresh.log")
    worker.start()
    try:
        return {
            f"{rate:.0f}": _at(worker, Replay(settings, settings.behavior_topic, rate), rate, seconds) for rate in rates
        }
    finally:
        worker.stop()


def _at(worker: WorkerProcess, replay: Replay, rate: float, seconds: float) -> dict[str, float]:
    sender = threading.Thread(target=replay.run, args=[events(int(rate * (WARM_S + seconds)) + 1)])
    sender.start()
    time.sleep(WARM_S)
    before = _read(worker)
    time.sleep(seconds)
    now = _read(worker)
    replay.stop()
    sender.join()
    found = {f"p{100 * q:g}_ms": now.freshness_ms(q, before) or 0.0 for q in (0.5, 0.99, 0.999)}
    return {"events_per_s": (now.records("applied") - before.records("applied")) / seconds, **found}


def _read(worker: WorkerProcess) -> Reading:
    reading = worker.read()
    if reading is None:
        raise SystemExit(f"the worker does not answer:\n{worker.last_lines()}")
    return reading
