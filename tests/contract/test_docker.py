"""The files in docker/ are valid and name only settings, services and files that exist."""

import argparse
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from streams.config.settings import PREFIX, Settings
from streams.health.metrics import WorkerMetrics
from streams.monitor.exposition import monitor_registry
from streams.monitor.monitor import Monitor
from streams.serve.command import add_arguments
from streams.serve.http.middleware import ServingMetrics
from streams.serve.http.tokens import Tokens
from streams.store import cql_schema
from streams.supervisor.merged_metrics import MergedMetrics
from tests.tools.docker import prometheus

# Names of metrics: those of Thalweg, those of its processes, and those that rules record.
METRIC = re.compile(r"\b(?:(?:job|bundle):)?thalweg_\w+(?::\w+)?|\bprocess_\w+")
ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
WIDTH, PLACES = 67, 10  # the representation of a model with default settings, and its recent and its bought items
WRITE_SCHEMA = (
    'python -c "from streams.store.cql_schema import statements; '
    "print(';\\n\\n'.join(statements('thalweg', 1, 67, 10, 10)) + ';')\" > docker/cassandra/schema.cql"
)


def load(path: Path) -> Any:
    yaml = pytest.importorskip("yaml", reason="PyYAML reads the files in docker/")
    return yaml.safe_load(path.read_text())


def test_the_schema_is_that_of_a_worker() -> None:
    expected = ";\n\n".join(cql_schema.statements("thalweg", 1, WIDTH, PLACES, PLACES)) + ";\n"
    assert (DOCKER / "cassandra" / "schema.cql").read_text() == expected, f"write it again: {WRITE_SCHEMA}"


def test_compose_names_only_settings_services_and_files_that_exist() -> None:
    compose = load(DOCKER / "compose.yaml")
    services = compose["services"]
    assert set(services) == {"kafka", "cassandra", "worker", "monitor", "serve", "prometheus", "grafana"}
    for name, service in services.items():
        assert set(service.get("depends_on", [])) <= set(services), name
        settings = [key for key in service.get("environment", {}) if key.startswith(PREFIX)]
        assert {key.removeprefix(PREFIX).lower() for key in settings} <= set(Settings.__struct_fields__), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (DOCKER / source).exists(), source
            elif not source.startswith("${"):
                assert source in compose["volumes"], source
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), (
                "these services have no password, so that no port may be open to other machines"
            )
    assert services["worker"]["environment"]["THALWEG_BROKER"] == "kafka:19092"
    assert "kafka:19092" in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]


def test_the_state_of_the_monitor_is_on_a_volume_that_the_user_of_the_image_owns() -> None:
    monitor = load(DOCKER / "compose.yaml")["services"]["monitor"]
    folder = monitor["environment"]["THALWEG_MONITOR_FOLDER"]
    assert monitor["volumes"] == [f"monitor:{folder}"]
    assert f"install -d -o thalweg -g thalweg -m 700 {folder}\n" in (DOCKER / "Dockerfile").read_text()


def test_the_image_copies_existing_files_and_has_the_makefiles_version_of_uv() -> None:
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            *sources, _ = line.split()[1:]
            assert all((ROOT / source).exists() for source in sources), line
    version = re.search(r"UV_VERSION := (\S+)", (ROOT / "Makefile").read_text())
    assert version is not None
    assert any(f"uv=={version[1]}" in line for line in lines)
    assert lines.index("USER thalweg") < lines.index('ENTRYPOINT ["thalweg"]')


def test_prometheus_scrapes_the_port_of_the_image() -> None:
    port = re.search(r"THALWEG_HTTP_PORT=(\d+)", (DOCKER / "Dockerfile").read_text())
    services = load(DOCKER / "compose.yaml")["services"]
    jobs = load(DOCKER / "prometheus" / "prometheus.yml")["scrape_configs"]
    assert port is not None
    for job in jobs:
        (target,) = job["dns_sd_configs"]
        assert target["port"] == int(port[1])
        assert set(target["names"]) <= set(services)


def test_dashboards_and_rules_use_only_metrics_that_exist() -> None:
    recorded = {rule["record"] for rule in prometheus.rules() if "record" in rule}
    expressions = [rule["expr"] for rule in prometheus.rules()]
    for name, dashboard in prometheus.dashboards():
        expressions += [query.expression for query in prometheus.queries(name, dashboard)]
        expressions += [metric for metric, _ in prometheus.label_values(dashboard)]
    asked = {name for expression in expressions for name in METRIC.findall(expression)}
    assert asked - exposed_metrics() - recorded == set()
    assert recorded <= asked, "a rule records what nobody asks for"


def exposed_metrics() -> set[str]:
    """Return the names of all series of a worker, a supervisor, a monitor and a server."""
    metrics = WorkerMetrics()
    metrics.add_readings(
        lag=lambda: {0: 0},
        open_transaction_records=lambda: {0: 0},
        users=lambda: 0,
        store_retries=lambda: 0,
        item_vectors=lambda: 0,
        bundle_id="gru-1",
        bundle_items=1,
    )
    monitor = Monitor(Settings(), "evaluation.events.v1", "evaluation.metrics.v1")
    server = CollectorRegistry()
    ServingMetrics(server)
    registries = [metrics.registry, monitor_registry(monitor.snapshot), server, MergedMetrics()]
    exposed = set()
    for family in (family for registry in registries for family in registry.collect()):
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        exposed |= {family.name + suffix for suffix in suffixes}
    return exposed


def test_dashboards_fit_the_compose_file_and_their_panels_do_not_overlap() -> None:
    source = load(DOCKER / "grafana" / "provisioning" / "datasources" / "prometheus.yaml")["datasources"][0]
    provider = load(DOCKER / "grafana" / "provisioning" / "dashboards" / "thalweg.yaml")["providers"][0]
    services = load(DOCKER / "compose.yaml")["services"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in services["grafana"]["volumes"]
    assert {name for name, _ in prometheus.dashboards()} == {"operations", "quality"}
    for _, dashboard in prometheus.dashboards():
        panels = dashboard["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        cells: set[tuple[int, int]] = set()
        for panel in panels:
            at = panel["gridPos"]
            own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not own & cells, panel["title"]
            assert at["x"] + at["w"] <= 24, panel["title"]
            cells |= own
            if panel["type"] != "row":
                assert panel["datasource"]["uid"] == source["uid"]
                assert panel["description"].endswith("."), panel["title"]
                assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_the_token_of_prometheus_may_read_and_nothing_else() -> None:
    jobs = {job["job_name"]: job for job in load(DOCKER / "prometheus" / "prometheus.yml")["scrape_configs"]}
    caller = Tokens(DOCKER / "serve" / "tokens.toml").caller(f"Bearer {jobs['serve']['authorization']['credentials']}")
    assert caller is not None
    assert caller.scopes == ("read",)
    command = load(DOCKER / "compose.yaml")["services"]["serve"]["command"]
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    parser.parse_args(command[1:])


def test_prometheus_of_the_compose_file_reads_the_rules() -> None:
    (file,) = load(DOCKER / "prometheus" / "prometheus.yml")["rule_files"]
    mounts = load(DOCKER / "compose.yaml")["services"]["prometheus"]["volumes"]
    assert f"./prometheus/{prometheus.RULES.name}:{file}:ro" in mounts
