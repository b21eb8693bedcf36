"""Measures how old an event is when its user's new row can be read, at steady rates, for each contender alike."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from streams.broker.topics import ensure_topics
from streams.commands.replay.producer import Replay
from streams.local.process.service_process import ServiceProcess
from tests.benchmarks.bench.contenders import ROOT, Testbed, stop
from tests.benchmarks.bench.load import events
from tests.benchmarks.bench.prober import LAST_S, Target
from tests.benchmarks.bench.watch import cpu_s, wait_for

RATES = (100, 5_000, 10_000, 20_000, 30_000)  # events per second
START_S = 90.0  # for the first row of a contender that has just started
WARM_S = 8.0  # of each rate, until the users of the rate are in memory and a JVM has compiled
CAUGHT_UP_MS = 500
WARM_EVENTS = 300_000  # at full speed, before the first rate


class Fresh(NamedTuple):
    """A contender whose freshness is measured, with a topic of its own."""

    name: str
    topic: str
    table: str
    column: str
    time_field: str
    bundle_id: str | None
    service: Callable[[], ServiceProcess]


def freshness(testbed: Testbed, contender: Fresh, seconds: float, rates: Sequence[int] = RATES) -> dict[str, Any]:
    """Return p50 and p99 in ms and the CPU time of an event in us, by rate."""
    ensure_topics(msgspec.structs.replace(testbed.settings, behavior_topic=contender.topic))
    process = contender.service()
    process.start(wait=False)
    try:
        Replay(testbed.settings, contender.topic).run(
            events(WARM_EVENTS, time_field=contender.time_field, part=f"warm-{contender.name}-")
        )
        wait_for(lambda: _has_caught_up(testbed, contender), START_S)
        return {str(rate): _at(testbed, contender, process, rate, seconds) for rate in rates}
    finally:
        stop(process)


def _at(testbed: Testbed, contender: Fresh, process: ServiceProcess, rate: int, seconds: float) -> dict[str, float]:
    sessions = {"": process.pid or 0, **{f"{name}_": pid for name, pid in testbed.running().items()}}
    sender = Replay(testbed.settings, contender.topic, rate)
    sent = events(int(rate * (WARM_S + seconds + 1)), time_field=contender.time_field, part=f"{rate}-{contender.name}-")
    thread = threading.Thread(target=sender.run, args=[sent])
    thread.start()
    began_s, used_s = time.perf_counter(), {name: cpu_s(pid) for name, pid in sessions.items()}
    found = _probe(testbed, contender, WARM_S, seconds)
    passed_s = time.perf_counter() - began_s
    used_s = {name: cpu_s(pid) - used_s[name] for name, pid in sessions.items()}
    sender.stop()
    thread.join()
    done = rate * passed_s
    return {
        "p50": float(np.percentile(found, 50)),
        "p99": float(np.percentile(found, 99)),
        "probes": len(found),
        **{f"{name}cpu_us_per_event": used / done * 1e6 for name, used in used_s.items()},
    }


def _has_caught_up(testbed: Testbed, contender: Fresh) -> bool:
    """Whether a probe is fresh, so that the warm events before the probe are done."""
    try:
        return float(np.median(_probe(testbed, contender, 0.0, 0.5))) < CAUGHT_UP_MS
    except subprocess.CalledProcessError:  # The contender has not made its table yet.
        return False


def _probe(testbed: Testbed, contender: Fresh, warm_s: float, seconds: float) -> list[float]:
    """The freshness of the probes in ms, measured by a process of its own."""
    target = Target(
        broker=testbed.settings.broker,
        cassandra=testbed.settings.cassandra,
        topic=contender.topic,
        table=contender.table,
        column=contender.column,
        time_field=contender.time_field,
        bundle_id=contender.bundle_id,
        warm_s=warm_s,
        seconds=seconds,
    )
    command = [sys.executable, "-m", "tests.benchmarks.bench.prober", msgspec.json.encode(target).decode()]
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        timeout=warm_s + seconds + LAST_S + START_S,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return msgspec.json.decode(done.stdout, type=list[float])
