"""Measures `thalweg serve` under load: `make serve-bench` (ARGS=--json).

100,000 items and a million users are stored. First, 200 mixed requests/s come while a worker applies 5,000 events/s.
Then clients ask for recommendations alone, of Thalweg and of a plain FastAPI handler that reads one row with the
Cassandra driver and scores with numpy. The ratio compares the requests per CPU-second of the two server processes, each
at the number of clients that is best among those with a p99 of at most 20 ms.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from export.runtime.bundle import Bundle
from streams.broker.topics import describe_topic, ensure_topics
from streams.commands.replay.producer import Replay
from streams.config.settings import Settings
from streams.local import LocalServices, local_services
from streams.local.process.ports import HOST, free_ports
from streams.local.process.service_process import ServiceProcess
from streams.store.cql_schema import representations_table
from tests.benchmarks.bench import load as bench_load
from tests.benchmarks.bench.contenders import ROOT, stop, worker
from tests.benchmarks.bench.watch import cpu_s
from tests.benchmarks.serving.load import MIX, Load, Seen
from tests.tools.serving import Server

ITEMS, USERS = 100_000, 1_000_000
EVENTS_PER_S, REQUESTS_PER_S = 5_000, 200
P99_MS = 20.0
CLIENTS = (1, 2, 4, 8, 16, 32)
FILLED_WITHIN_S = 400.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="thalweg-serve-") as folder, local_services(long_running=True) as services:
        result = _measured(services, Path(folder), args)
    if args.json:
        print(json.dumps(result))
    return 0


def _measured(services: LocalServices, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    bundle = bench_load.bundle(folder / "bundle", items=args.items, is_whole=True)
    base = Settings(**services.client_settings, bundle=str(bundle.path), keyspace="serving", group="serving")
    settings = bench_load.named(base, "serving")
    ensure_topics(settings)
    for name in ("worker", "server", "plain"):  # one folder for each process, since a folder allows one
        (folder / name).mkdir()
    streaming = worker(settings, folder / "worker" / "output.log", 1)
    streaming.start()
    server = Server(settings, folder / "server" / "output.log")
    try:
        _fill(settings, bundle, args)
        server.start()
        _wait(lambda: server.client.get("/readyz").status_code == 200)
        seen, cpu_share = _under_load(settings, server, args)
        print(f"mixed requests beside {EVENTS_PER_S} events/s: {seen}, {cpu_share:.2f} cores of the server", flush=True)
        stop(streaming)
        own = _best(f"http://{server.address}", server, args, "thalweg")
        plain = _plain(services, settings, bundle, folder, args)
    finally:
        stop(server)
        stop(streaming)
    return {
        "p50_ms": seen.p50_ms,
        "p99_ms": seen.p99_ms,
        "p99_ms_by_kind": seen.p99_ms_by_kind,
        "requests_per_s": seen.requests / seen.seconds,
        "errors": seen.errors,
        "ratio_to_plain": own / plain,
        "requests_per_cpu_s": {"thalweg": own, "plain": plain},
        "items": args.items,
        "users": args.users,
        "events_per_s": EVENTS_PER_S,
    }


def _fill(settings: Settings, bundle: Bundle, args: argparse.Namespace) -> None:
    """Store a row of every user, and wait for all item vectors."""
    Replay(settings, settings.behavior_topic).run(_events(args, 0, args.users, lambda number: number))
    group = settings.consumer_group_id(bundle.bundle_id)
    _wait(lambda: describe_topic(settings, settings.behavior_topic, group).lag == 0)


def _events(
    args: argparse.Namespace, first: int, count: int, user_of: Callable[[int], int]
) -> Iterator[tuple[bytes, bytes]]:
    start_ms = int(time.time() * 1000) - 3_600_000
    for number in range(first, first + count):
        user = f"user-{user_of(number)}"
        value = {
            "event_id": f"{number}",
            "user_id": user,
            "item_id": f"item-{number * 7919 % args.items}",
            "action": "view",
            "event_time_ms": start_ms + number // 1000,
        }
        yield user.encode(), msgspec.json.encode(value)


def _under_load(settings: Settings, server: Server, args: argparse.Namespace) -> tuple[Seen, float]:
    """What comes back while events come, and the server's share of a core."""
    sender = Replay(settings, settings.behavior_topic, EVENTS_PER_S)
    count = int(EVENTS_PER_S * (args.seconds + 30))
    events = _events(args, args.users, count, lambda number: number * 104_729 % args.users)
    sending = threading.Thread(target=sender.run, args=[events])
    sending.start()
    address = f"http://{server.address}"
    _sent(Load(address, args.users, args.items, 8.0, MIX, rate=REQUESTS_PER_S))  # until the JVMs have compiled
    assert server.pid is not None, "the server runs"
    used_s = cpu_s(server.pid)
    seen = _sent(Load(address, args.users, args.items, args.seconds, MIX, rate=REQUESTS_PER_S))
    used_s = cpu_s(server.pid) - used_s
    sender.stop()
    sending.join()
    return seen, used_s / seen.seconds


def _plain(
    services: LocalServices, settings: Settings, bundle: Bundle, folder: Path, args: argparse.Namespace
) -> float:
    port = str(free_ports(["http"])["http"])
    table = f"{settings.keyspace}.{representations_table(bundle.manifest.representation_width)}"
    module = "tests.benchmarks.serving.plain_fastapi"
    address = f"http://{HOST}:{port}"
    plain = ServiceProcess(
        name="the plain handler",
        address=f"{HOST}:{port}",
        command=[sys.executable, "-m", module, port, services.cassandra.address, table, str(bundle.path)],
        log=folder / "plain" / "output.log",
        is_ready=lambda: True,
        # One thread for a product, because threads that wait for each other made the handler ten times as slow.
        environment={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        ends_with_parent=True,
    )
    plain.start()
    try:
        _wait(lambda: _sent(Load(address, args.users, args.items, 0.5, {"recommendations": 1})).errors == 0)
        return _best(address, plain, args, "plain FastAPI")
    finally:
        stop(plain)


def _best(address: str, process: ServiceProcess, args: argparse.Namespace, name: str) -> float:
    """Requests per CPU-second at the best number of clients whose p99 is at most P99_MS."""
    found = {}
    assert process.pid is not None, "the server runs"
    for clients in CLIENTS:
        load = Load(address, args.users, args.items, args.seconds / 4, {"recommendations": 1}, clients=clients)
        _sent(msgspec.structs.replace(load, seconds=1.0))
        used_s = cpu_s(process.pid)
        seen = _sent(load)
        rate = seen.requests / (cpu_s(process.pid) - used_s)
        print(f"{name}, {clients} clients: {rate:.0f} requests per CPU-second, {seen}", flush=True)
        if seen.p99_ms <= P99_MS and not seen.errors:
            found[clients] = rate
    return max(found.values(), default=float("nan"))


def _sent(load: Load) -> Seen:
    command = [sys.executable, "-m", "tests.benchmarks.serving.load", msgspec.json.encode(load).decode()]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=True, capture_output=True, env=environment)
    return msgspec.json.decode(done.stdout, type=Seen)


def _wait(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + FILLED_WITHIN_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError("the services are not ready")
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
