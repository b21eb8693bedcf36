"""`thalweg worker` with real processes and without services: how its processes and its endpoints begin and end."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import aiohttp
from prometheus_client import CollectorRegistry, Counter

from streams.health.endpoints import Endpoints, HttpServer
from streams.health.watchdog import Health
from streams.supervisor.answers import Answers
from streams.supervisor.merged_metrics import MergedMetrics

ROOT = Path(__file__).parents[4]


def test_a_wrong_bundle_ends_the_command_with_one_message(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "streams.cli", "worker", "--processes", "2", "--bundle", str(tmp_path / "absent")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "THALWEG_HOME": str(tmp_path)}
    ended = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.count("absent") == 1
    assert ended.stderr.startswith("thalweg worker: ")
    assert "2 processes, metrics at http://127.0.0.1:" in ended.stdout


def test_the_supervisor_loads_neither_faust_nor_a_model() -> None:
    code = "import sys, streams.supervisor.command; print([m for m in sys.argv[1:] if m in sys.modules])"
    heavy = ["faust", "numpy", "onnxruntime", "cassandra", "kafka", "aiokafka"]
    shown = subprocess.check_output([sys.executable, "-c", code, *heavy], cwd=ROOT, text=True)
    assert shown == "[]\n"


def test_a_process_stops_itself_when_its_supervisor_has_ended() -> None:
    own, other = socket.socketpair()
    code = f"""
        import signal, sys, time
        from streams.supervisor.link import Link, Report
        link = Link({other.fileno()})
        link.report(Report(address="http://127.0.0.1:1"))
        link.watch()
        time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, pass_fds=[other.fileno()]
    ) as process:
        other.close()
        assert own.recv(100) == b'{"address":"http://127.0.0.1:1"}\n'
        own.close()
        began_s = time.monotonic()
        assert process.wait(timeout=20) == -signal.SIGTERM
        assert time.monotonic() - began_s < 5


async def get(address: str, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as client, client.get(address + path) as response:
        return response.status, await response.text()


def test_one_address_answers_for_all_processes() -> None:
    healths: dict[int, Health] = {1: "ok", 2: "ok"}

    async def run() -> None:
        addresses: dict[int, str | None] = {}
        for number in healths:
            registry = CollectorRegistry()
            Counter("thalweg_batches", "Batches.", registry=registry).inc(number)
            process = Endpoints("127.0.0.1", 0, registry, lambda number=number: healths[number], lambda: True)
            addresses[number] = await process.start()
        answers = Answers(lambda: addresses, MergedMetrics())
        paths = {"/metrics": answers.metrics, "/healthz": answers.healthz, "/readyz": answers.readyz}
        server = HttpServer("127.0.0.1", 0, paths)
        address = await server.start()

        status, text = await get(address, "/metrics")
        assert status == 200
        assert "\nthalweg_batches_total 3.0\n" in text
        assert await get(address, "/healthz") == (200, "ok\n")
        assert await get(address, "/readyz") == (200, "ready\n")
        healths[2] = "slow"
        assert await get(address, "/healthz") == (200, "ok\n")
        assert await get(address, "/readyz") == (503, "process 2: has work and makes no progress\n")
        healths[2] = "stalled"
        assert await get(address, "/healthz") == (503, "process 2: stalled\n")
        addresses[2] = None  # The process has ended and starts again.
        assert await get(address, "/healthz") == (200, "ok\n")
        assert await get(address, "/readyz") == (503, "process 2: starts\n")
        assert "\nthalweg_batches_total 3.0\n" in (await get(address, "/metrics"))[1], "the last answer still counts"
        addresses[2] = "http://127.0.0.1:1"
        assert await get(address, "/healthz") == (503, "process 2: does not answer\n")
        await server.stop()

    asyncio.run(run())
