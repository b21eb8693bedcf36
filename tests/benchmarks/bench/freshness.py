"""Measures how old an event is when its user's new representation can be read, at a steady rate of events."""

import threading
import time
from collections.abc import Sequence

import msgspec

from export.runtime.bundle import Bundle
from streams.broker.topics import ensure_topics
from streams.commands.replay.producer import Replay
from streams.demo.scraped_metrics import ScrapedMetrics
from streams.demo.worker_process import WorkerProcess
from tests.benchmarks.bench.contenders import Testbed
from tests.benchmarks.bench.load import events, named
from tests.benchmarks.bench.watch import cpu_s

WARM_S = 8.0  # until the rows of users are read once and the memory and the topic's metadata are in use


def freshness(testbed: Testbed, bundle: Bundle, rates: Sequence[float], seconds: float) -> dict[str, dict[str, float]]:
    """Return p50, p99 and p99.9 in ms for each rate in events/s, from the worker's histogram over `seconds` each."""
    name = f"fresh_{bundle.path.name}"
    settings = msgspec.structs.replace(named(testbed.settings, name), bundle=str(bundle.path))
    ensure_topics(settings)
    worker = WorkerProcess(settings, testbed.work / f"{name}.log")
    worker.start()
    try:
        return {
            f"{rate:.0f}": _at(testbed, worker, Replay(settings, settings.behavior_topic, rate), rate, seconds)
            for rate in rates
        }
    finally:
        worker.stop()


def _at(testbed: Testbed, worker: WorkerProcess, replay: Replay, rate: float, seconds: float) -> dict[str, float]:
    processes = {"": worker.pid, "kafka_": testbed.services.kafka.pid, "cassandra_": testbed.services.cassandra.pid}
    sent = events(int(rate * (WARM_S + seconds)) + 1, part=f"{rate:.0f}-")  # ids that no other rate uses
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
        "batches_per_s": (now.total("thalweg_batches_total") - before.total("thalweg_batches_total")) / seconds,
    }


def _read(worker: WorkerProcess) -> ScrapedMetrics:
    reading = worker.scrape()
    if reading is None:
        raise SystemExit(f"the worker does not answer:\n{worker.last_lines()}")
    return reading
