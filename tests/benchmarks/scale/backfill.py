"""Measures `thalweg backfill` beside a replay of the same events through Kafka and a worker.

`python -m tests.benchmarks.scale.backfill [--events N] [--rounds N] [--simulate N] [--json]`: in each round,
`thalweg replay` sends a log to a new topic, and a worker that runs already applies the events, without evaluation,
until the group has committed all. Then the topic is archived, which is not measured, and `thalweg backfill` steps the
archive into the rows of a new keyspace. The topics, the tables and the item vectors of both exist before. The model has
all parts that training adds by default. `cpu_us` is the CPU time for an event, of the commands, Kafka and Cassandra.
`--simulate` also steps a simulated archive of so many events, with one user for 50 events, and shows the most memory
that the command had.
"""

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import msgspec

from export.runtime.bundle import Bundle
from streams.archive.layout import FORMAT_WITH_LOG, Description, Log
from streams.broker.topics import describe_topic, ensure_topics
from streams.config.settings import Settings
from streams.demo.worker_process import WorkerProcess
from streams.engine.codec import CONTRACT
from streams.local import local_services
from streams.store.items.registration import Registration
from streams.store.store import open_store
from tests.benchmarks.bench import load
from tests.benchmarks.bench.contenders import worker
from tests.benchmarks.bench.watch import calm, cpu_s, sessions
from tests.benchmarks.scale.history import write_history
from tests.support.deployment import environment_of, run_thalweg

EVENTS_A_USER = 50
POLL_S = 0.1
NEARLY_NONE = 1e-9  # the share of the events that are evaluated


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000, help="events of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--simulate", type=int, default=0, metavar="N", help="also step a simulated archive of N events"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="thalweg-bench-") as name, local_services(long_running=True) as services:
        work = Path(name)
        bundle = load.bundle(work / "bundle", is_whole=True)
        base = Settings(
            broker=services.kafka.address,
            cassandra=services.cassandra.address,
            bundle=str(bundle.path),
            evaluation_share=NEARLY_NONE,
        )
        log = write_log(work / "log.csv", args.events)
        pids = sessions([("kafka", services.kafka.pid), ("cassandra", services.cassandra.pid)])
        rounds = [one_round(base, bundle, work, log, args.events, turn, pids) for turn in range(args.rounds)]
        found = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
        found["ratio"] = statistics.median(one["events_per_s"] / one["replay_events_per_s"] for one in rounds)
        if args.simulate:
            found |= {
                f"simulated_{name}": value for name, value in simulated(base, bundle, work, args.simulate).items()
            }
    for name, value in found.items():
        print(f"{name:<28} {value:12,.1f}")
    if args.json:
        print(json.dumps(found))
    return 0


def write_log(path: Path, count: int) -> Path:
    """Write the events of the other benchmarks as a CSV log."""
    names = ("user_id", "item_id", "action", "event_time_ms")
    with path.open("w") as file:
        print(",".join(names), file=file)
        for _, value in load.events(count, users=count // EVENTS_A_USER):
            event = msgspec.json.decode(value)
            print(",".join(str(event[name]) for name in names), file=file)
    return path


def one_round(
    base: Settings, bundle: Bundle, work: Path, log: Path, events: int, turn: int, services: dict[str, int]
) -> dict[str, float]:
    """Replay and backfill the same events, one after the other."""
    replayed = load.named(base, f"replay{turn}")
    prepare(replayed, bundle)
    running = worker(replayed, work / f"worker{turn}.log", 1)
    running.start()
    calm(services)
    before_s, began_s = used_cpu_s(services, running), time.monotonic()
    sent = run_thalweg(replayed, "replay", str(log), "--json")
    assert sent.returncode == 0, sent.stderr
    group = replayed.consumer_group_id(bundle.bundle_id)
    while sum(describe_topic(replayed, replayed.behavior_topic, group).committed.values()) < events:
        time.sleep(POLL_S)
    replay_s = time.monotonic() - began_s
    replay_cpu_us = (used_cpu_s(services, running) - before_s) / events * 1e6
    running.stop()
    archive = work / f"archive{turn}"
    archived = run_thalweg(replayed, "archive", "--to", str(archive))
    assert archived.returncode == 0, archived.stderr
    filled = msgspec.structs.replace(load.named(base, f"backfill{turn}"), behavior_topic=replayed.behavior_topic)
    prepare(filled, bundle)
    found = {"replay_events_per_s": events / replay_s, "replay_cpu_us": replay_cpu_us}
    calm(services)
    before_s = used_cpu_s(services)
    found |= run_backfill(filled, archive, events)
    return {**found, "cpu_us": (used_cpu_s(services) - before_s) / events * 1e6}


def used_cpu_s(services: dict[str, int], process: WorkerProcess | None = None) -> float:
    """The CPU time of the services, of commands that have ended, and of a running process."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = 0.0 if process is None or process.pid is None else cpu_s(process.pid)
    return ended.ru_utime + ended.ru_stime + running + sum(cpu_s(pid) for pid in services.values())


def prepare(settings: Settings, bundle: Bundle) -> None:
    """Make topics and tables, and store the item vectors."""
    ensure_topics(settings)
    store = open_store(settings, bundle)
    bundle_id, items = bundle.bundle_id, bundle.manifest.items
    asyncio.run(Registration(store.items, store.registry, bundle_id, items, lambda _: True, "bench").run())
    store.close()


def run_backfill(settings: Settings, archive: Path, events: int) -> dict[str, float]:
    """Step an archive of so many events."""
    command = [sys.executable, "-m", "streams.cli", "backfill", "--from", str(archive), "--json"]
    ended = subprocess.run(command, env=environment_of(settings), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    counts = json.loads(ended.stdout.splitlines()[-1])
    assert counts["events"] == events, counts
    return {name: counts[name] for name in ("events_per_s", "peak_mb")}


def simulated(base: Settings, bundle: Bundle, work: Path, events: int) -> dict[str, float]:
    """Step a simulated archive, which begins with a log, and whose topic is empty."""
    settings = load.named(base, f"simulated{uuid.uuid4().hex[:6]}")
    prepare(settings, bundle)
    topic = describe_topic(settings, settings.behavior_topic)
    description = Description(
        format=FORMAT_WITH_LOG,
        topic=topic.name,
        topic_id=str(topic.topic_id),
        decoder=CONTRACT,
        log=Log(id="simulated", until_ms=int(time.time() * 1000)),
    )
    began_s = time.monotonic()
    write_history(
        work / "simulated",
        description,
        events,
        users=events // EVENTS_A_USER,
        items=bundle.manifest.items,
        partitions=topic.partitions,
        a_day=1_000_000,
    )
    print(f"wrote {events:,} simulated events in {time.monotonic() - began_s:.0f} s", flush=True)
    return run_backfill(settings, work / "simulated", events)


if __name__ == "__main__":
    sys.exit(main())
