"""`thalweg serve` as a child process of the demo, for the page."""

import importlib.util
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from streams.config.settings import PREFIX, Settings
from streams.demo.worker_process import settings_variables
from streams.local.process.ports import HOST, free_ports, is_free
from streams.local.process.service_process import ServiceProcess

PORT = 8080  # that of `thalweg serve`, where the port is free
REQUEST_LIMIT_S = 2.0
EXTRA = ("fastapi", "uvicorn", "httptools", "threadpoolctl")  # packages of the extra `serve`


def has_server() -> bool:
    """Whether the packages of the extra `serve` are installed."""
    return all(importlib.util.find_spec(name) for name in EXTRA)


class PageProcess(ServiceProcess):
    """A server of the API and the page with these settings. On Linux it ends with the process that started it."""

    def __init__(self, settings: Settings, log: Path) -> None:
        """log: a file in a folder that no other process uses; the folder is made."""
        log.parent.mkdir(exist_ok=True)
        port = PORT if is_free(PORT) else free_ports(["page"])["page"]
        self.url = f"http://{HOST}:{port}/"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        super().__init__(
            name="the server of the page",
            address=f"{HOST}:{port}",
            command=[sys.executable, "-m", "streams.cli", "serve", "--host", HOST, "--port", str(port), "--lookalikes"],
            log=log,
            is_ready=self.answers,
            environment={**inherited, **settings_variables(settings)},
            ends_with_parent=True,
        )

    def answers(self) -> bool:
        """Whether the server answers at all."""
        try:
            with urllib.request.urlopen(f"{self.url}healthz", timeout=REQUEST_LIMIT_S):
                return True
        except (urllib.error.URLError, OSError):
            return False
