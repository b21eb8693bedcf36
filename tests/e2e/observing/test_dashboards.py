"""Every query of the dashboards and every rule, executed by a real Prometheus that scrapes a real run."""

import math
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from export.runtime.bundle import Bundle
from streams.demo.worker_process import WORKER_COMMAND, WorkerProcess
from streams.local import LocalServices
from streams.local.process.ports import HOST, free_ports
from streams.local.process.service_process import ServiceProcess
from tests.support.deployment import Deployment, environment_of, shopping
from tests.tools.docker import prometheus
from tests.tools.docker.prometheus import Prometheus, Query
from tests.tools.serving import Server

pytestmark = pytest.mark.skipif(prometheus.MAY_SKIP, reason=prometheus.REASON)

# No alert fires in a healthy run, and the reference of an alarm needs more events than the run has.
MAY_BE_EMPTY = ("ALERTS", "thalweg_alarm_firing")
DATA_WITHIN_S = 20.0
RATE_INTERVAL = "15s"


@pytest.fixture(scope="module")
def scraping(services: LocalServices, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A worker of two processes, a monitor and a server, each with something to do while Prometheus scrapes."""
    deployment = Deployment(services, bundle, tmp_path_factory.mktemp("observed"))
    folders = {name: deployment.folder / name for name in ("worker", "monitor", "server", "prometheus")}
    for folder in folders.values():
        folder.mkdir()
    command = (*WORKER_COMMAND, "--processes", "2")
    worker = WorkerProcess(deployment.settings, folders["worker"] / "worker.log", command)
    monitor = monitor_process(deployment, folders["monitor"])
    server = Server(deployment.settings, folders["server"] / "server.log")
    targets = {"worker": worker.address, "monitor": monitor.address, "serve": server.address}
    running = Prometheus(folders["prometheus"], targets)
    processes = (worker, monitor, server, running)
    try:
        for process in processes:
            process.start(wait=False)
        for process in processes:
            process.wait_until_ready()
        # The first batch is slow. With 500 events, that batch would rightly raise the alert of late events.
        deployment.send(shopping(20, 10, seed=9))
        deployment.wait_until_committed()
        for seed in range(3):
            deployment.send([*shopping(500, 40, seed), (b"user-1", b"no event")])
            deployment.wait_until_committed()
            ask_for_something(server)
            time.sleep(1.1)  # A rate needs several scrapes between which something happens.
        yield running
    finally:
        for process in reversed(processes):
            process.stop()


def monitor_process(deployment: Deployment, folder: Path) -> ServiceProcess:
    port = free_ports(["http"])["http"]
    address = f"{HOST}:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"http://{address}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    return ServiceProcess(
        name="the monitor",
        address=address,
        command=[sys.executable, "-m", "streams.cli", "monitor", "--bundle", str(deployment.bundle.path)],
        log=folder / "monitor.log",
        is_ready=answers,
        environment=environment_of(deployment.settings_with(http_port=port)),
        ends_with_parent=True,
    )


def ask_for_something(server: Server) -> None:
    for number in range(20):
        server.client.get(f"/v1/users/user-{number}/representation")
        server.client.get(f"/v1/users/user-{number}/recommendations")
    server.client.get("/v1/items/no-item/similar")


def all_queries() -> list[Query]:
    return [
        query for name, board in prometheus.dashboards() for query in prometheus.queries(name, board, RATE_INTERVAL)
    ]


def has_data(running: Prometheus, expression: str) -> bool:
    """True where the query of the last 20 s, as a panel sends the query, has a value that is a number."""
    now_s = time.time()
    found: Any = running.ask("query_range", query=expression, start=now_s - 20, end=now_s, step=1)["result"]
    return any(not math.isnan(float(value)) for series in found for _, value in series["values"])


def test_every_query_is_accepted_and_returns_data(scraping: Prometheus) -> None:
    queries = all_queries()
    assert len(queries) > 50
    deadline_s = time.monotonic() + DATA_WITHIN_S
    empty = queries
    while (empty := [query for query in empty if not has_data(scraping, query.expression)]) and (
        time.monotonic() < deadline_s
    ):
        if all(re.search("|".join(MAY_BE_EMPTY), query.expression) for query in empty):
            break
        time.sleep(1)
    assert [query for query in empty if not re.search("|".join(MAY_BE_EMPTY), query.expression)] == []


def test_every_variable_has_values(scraping: Prometheus) -> None:
    for name, dashboard in prometheus.dashboards():
        for metric, label in prometheus.label_values(dashboard):
            assert scraping.ask(f"label/{label}/values", **{"match[]": metric}), f"{name}: {metric} has no {label}"


def test_every_rule_is_evaluated_and_records_data(scraping: Prometheus) -> None:
    groups = scraping.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(prometheus.rules())
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []
    recorded = {rule["record"] for rule in prometheus.rules() if "record" in rule}
    assert {name for name in recorded if not has_data(scraping, name)} == set()


def test_a_healthy_run_raises_no_alert(scraping: Prometheus) -> None:
    alerts = scraping.ask("alerts")["alerts"]
    assert [alert["labels"] for alert in alerts if alert["state"] == "firing"] == []


def test_no_process_exports_times_of_creation(scraping: Prometheus) -> None:
    names = scraping.ask("label/__name__/values")
    assert len([name for name in names if name.startswith("thalweg_")]) > 35
    assert [name for name in names if name.endswith("_created")] == []
