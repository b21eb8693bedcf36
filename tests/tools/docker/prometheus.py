"""The rules and dashboards of docker/, and a real Prometheus that executes them."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import yaml

from streams.local.process.ports import HOST, free_ports
from streams.local.process.service_process import ServiceProcess

DOCKER = Path(__file__).parents[3] / "docker"
RULES = DOCKER / "prometheus" / "rules.yaml"
DASHBOARDS = sorted((DOCKER / "grafana" / "dashboards").glob("*.json"))
LABEL_VALUES = re.compile(r"label_values\((?:(?P<metric>.+), *)?(?P<label>\w+)\)")

PROGRAMS = ("prometheus", "promtool")
ARE_MISSING = any(shutil.which(program) is None for program in PROGRAMS)
REASON = (
    "no prometheus and promtool on the PATH: install both (apt-get install prometheus) to execute rules and queries"
)
MAY_SKIP = ARE_MISSING and os.environ.get("CI") != "true"


class Query(NamedTuple):
    """A query of a dashboard, with every variable replaced."""

    where: str  # the dashboard and the panel
    expression: str


def rules() -> list[dict[str, Any]]:
    """Return the recording and alert rules of all groups."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def dashboards() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the content of each dashboard."""
    for path in DASHBOARDS:
        yield path.stem, json.loads(path.read_text())


def queries(name: str, dashboard: Mapping[str, Any], rate_interval: str = "1m") -> list[Query]:
    """Return every query of a dashboard as Grafana sends the query where all values of the variables are chosen."""
    targets = [
        (f"{name}: {panel['title']}", target["expr"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]
    targets += [(f"{name}: annotations", one["expr"]) for one in dashboard["annotations"]["list"]]
    variables = {one["name"]: one["allValue"] for one in dashboard["templating"]["list"]}
    variables["__rate_interval"] = rate_interval
    return [Query(where, with_variables(expression, variables)) for where, expression in targets]


def with_variables(expression: str, variables: Mapping[str, str]) -> str:
    """Replace each `$name` and `${name}`. Raises KeyError for a variable that the dashboard does not define."""
    return re.sub(r"\$(?:(\w+)|\{(\w+)\})", lambda found: variables[found[1] or found[2]], expression)


def label_values(dashboard: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the metric and the label of each variable of a dashboard."""
    for variable in dashboard["templating"]["list"]:
        found = LABEL_VALUES.fullmatch(variable["query"]["query"])
        assert found is not None, variable["query"]
        yield found["metric"], found["label"]


class Prometheus(ServiceProcess):
    """A real Prometheus with the rules of docker/, which scrapes every second. It is not started."""

    def __init__(self, folder: Path, targets: Mapping[str, str]) -> None:
        """folder: empty, takes the data. targets: the address host:port of each job."""
        address = f"{HOST}:{free_ports(['prometheus'])['prometheus']}"
        self.client = httpx.Client(base_url=f"http://{address}", timeout=10)
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
            ],
        }
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(configuration))
        super().__init__(
            name="Prometheus",
            address=address,
            command=[
                "prometheus",
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            log=folder / "prometheus.log",
            is_ready=self._answers,
            environment=os.environ,
            ends_with_parent=True,
        )

    def _answers(self) -> bool:
        try:
            return self.client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def ask(self, path: str, **parameters: Any) -> Any:
        """Return the data of an answer. The answer must be a success."""
        answer = self.client.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]
