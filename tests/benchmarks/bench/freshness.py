"""How old an event is when its user's new representation can be read, at a steady rate of events."""

import threading
import time
from collections.abc import Sequence

import msgspec

from export.runtime.bundle import Bundle
from streams.broker.topics import ensure_topics
from streams.commands.replay.producer import Replay
from streams.demo.worker_process import Reading, WorkerProcess
from tests.benchmarks.bench.contenders import Arena
from tests.benchmarks.bench.load import events, named
from tests.benchmarks.bench.watch import cpu_s

WARM_S = 8.0  # users' rows are read once, pages are touched, the broker knows the topic


def freshness(arena: Arena, bundle: Bundle, rates: Sequence[float], seconds: float) -> dict[str, dict[str, float]]:
    """By rate in events/s: p50, p99 and p99.9 in ms, from the worker's histogram, over `seconds` each."""
    name = f"fresh_{bundle.path.name}"
    settings = msgspec.structs.replace(named(arena.settings, name), bundle=str(bundle.path))
    ensure_topics(settings)
    worker = WorkerProcess(settings, arena.work / f"{name}.log")
    worker.start()
    try:
        return {
            f"{rate:.0f}": _at(arena, worker, Replay(settings, settings.behavior_topic, rate), rate, seconds)
            for rate in rates
        }
    finally:
        worker.stop()


def _at(arena: Arena, worker: WorkerProcess, replay: Replay, rate: float, seconds: float) -> dict[str, float]:
    processes = {"": worker.pid, "kafka_": arena.services.kafka.pid, "cassandra_": arena.services.cassandra.pid}
    sent = events(int(rate * (WARM_S + seconds)) + 1, part=f"{rate:.0f}-")  # ids of its own: none came at another rate
    sender = threading.Thread(target=replay.run, args=[sent])
    sender.start()
    time.sleep(WARM_S)
    before, used_s = _read(worker), {name: cpu_s(pid or 0) for name, pid in processes.items()}
    time.sleep(seconds)
    now = _read(worker)
    used_s = {name: cpu_s(pid or 0) - used_s[name] for name, pid in processes.items()}
    replay.stop()
    sender.join()
    n = now.records("applied") - before.records("applied")
    return {
        "events_per_s": n / seconds,
        **{f"p{100 * q:g}_ms": now.freshness_ms(q, before) or 0.0 for q in (0.5, 0.99, 0.999)},
        **{f"{name}cpu_us_per_event": used / max(1, n) * 1e6 for name, used in used_s.items()},
        "batches_per_s": (now.count("thalweg_batches_total") - before.count("thalweg_batches_total")) / seconds,
    }


def _read(worker: WorkerProcess) -> Reading:
    reading = worker.read()
    if reading is None:
        raise SystemExit(f"the worker does not answer:\n{worker.last_lines()}")
    return reading
