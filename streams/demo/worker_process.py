"""A worker as a child process, for the demo, the tests and the benchmarks."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from streams.config.settings import PREFIX, Settings
from streams.demo.scraped_metrics import ScrapedMetrics
from streams.local.process.ports import HOST, free_ports
from streams.local.process.service_process import ServiceProcess

REQUEST_LIMIT_S = 2.0
WORKER_COMMAND = (sys.executable, "-m", "streams.cli", "worker")


class WorkerProcess(ServiceProcess):
    """`thalweg worker` with the given settings. On Linux the worker ends with the process that started the worker."""

    def __init__(
        self,
        settings: Settings,
        log: Path,
        command: Sequence[str] = WORKER_COMMAND,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """environment: variables in addition to those of this process and of the settings."""
        port = free_ports(["http"])["http"]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        super().__init__(
            name="the worker",
            address=f"{HOST}:{port}",
            command=command,
            log=log,
            is_ready=self.has_partitions,
            environment={
                **inherited,
                **settings_variables(settings),
                f"{PREFIX}HTTP_PORT": str(port),
                **(environment or {}),
            },
            ends_with_parent=True,
        )

    def has_partitions(self) -> bool:
        """True when the worker's /readyz answers with success."""
        return _get(f"http://{self.address}/readyz") is not None

    def scrape(self) -> ScrapedMetrics | None:
        """The metrics now; None when the worker does not answer."""
        text = _get(f"http://{self.address}/metrics")
        return None if text is None else ScrapedMetrics(text)


def settings_variables(settings: Settings) -> dict[str, str]:
    """The settings as variables of the environment."""
    values = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items() if value is not None}


def _get(url: str) -> str | None:
    """The body of a successful response; None otherwise."""
    try:
        with urllib.request.urlopen(url, timeout=REQUEST_LIMIT_S) as response:
            text: str = response.read().decode()
            return text
    except (urllib.error.URLError, OSError):
        return None
