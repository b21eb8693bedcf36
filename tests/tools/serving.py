"""`thalweg serve` as a child process, and its application in this process."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from streams.config.settings import Settings
from streams.demo.worker_process import settings_variables
from streams.local.process.ports import HOST, free_ports
from streams.local.process.service_process import ServiceProcess
from streams.serve.application import Sources, make_application
from streams.serve.catalogue.progress import Progress
from streams.serve.catalogue.served import ServedCatalogue
from streams.serve.explanations.effects import UserRecord
from streams.serve.explanations.history import HistoryError, HistoryReader
from streams.serve.http.middleware import Application
from streams.serve.http.problems import unavailable
from streams.serve.http.tokens import Tokens
from streams.serve.live.live import Live

READY_WITHIN_S = 30.0
DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"


class Server(ServiceProcess):
    """A server with these settings, not started. `client` asks the server."""

    def __init__(self, settings: Settings, log: Path, arguments: Sequence[str] = (), token: str | None = None) -> None:
        port = free_ports(["http"])["http"]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("THALWEG_")}
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.client = httpx.Client(base_url=f"http://{HOST}:{port}", headers=headers, timeout=30)
        super().__init__(
            name="the server",
            address=f"{HOST}:{port}",
            command=[sys.executable, "-m", "streams.cli", "serve", "--port", str(port), *arguments],
            log=log,
            is_ready=lambda: self._answers(),
            environment={**inherited, **settings_variables(settings)},
            ends_with_parent=True,
        )

    def _answers(self) -> bool:
        try:
            return self.client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def ask(self, path: str, status: int = 200, **parameters: Any) -> Any:
        """Return the body of the answer to a GET. The answer must have this status."""
        answer = self.client.get(path, params=parameters or None)  # httpx drops the query of a path for {}
        assert answer.status_code == status, answer.text
        return answer.json()

    def send(self, path: str, body: Any, status: int = 200) -> Any:
        """Return the body of the answer to a POST. The answer must have this status."""
        answer = self.client.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield


def no_bundle() -> Any:
    raise unavailable("no bundle is active")


def no_erasure(user_id: str) -> Any:
    raise AssertionError(f"an erasure of {user_id} was begun")


def no_topic(bundle_id: str) -> str:
    raise AssertionError(f"the topic of {bundle_id} was asked for")


class NoHistories(HistoryReader):
    """Stands where an application has no Kafka and no Cassandra to read events from."""

    def __init__(self) -> None:
        pass

    def read(self, user_id: str, bundle_id: str, steps: int) -> Sequence[UserRecord]:
        raise HistoryError(f"this application reads no events: {steps} of {user_id} under {bundle_id} were asked for")


def application(
    tokens: Tokens | None = None, current: Callable[[], Any] = no_bundle, progress: Progress | None = None
) -> Application:
    """progress: of the catalogue; None: there is no catalogue."""
    catalogue = ServedCatalogue(progress or Progress("absent"))
    sources = Sources(current, no_erasure, catalogue, Live(Settings(), current, no_topic), NoHistories())
    return make_application(sources, tokens, nothing)


def ask(app: Application, method: str, path: str, token: str | None = None, **arguments: Any) -> httpx.Response:
    """Return the answer of an application that runs in this process."""

    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        headers = {**({} if token is None else {"Authorization": f"Bearer {token}"}), **arguments.pop("headers", {})}
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, headers=headers, **arguments)

    return asyncio.run(main())


def started(settings: Settings, folder: Path, *arguments: str, token: str | None = None) -> Server:
    """A server that has the active bundle. folder: a folder of the server's own, which is made."""
    folder.mkdir()
    server = Server(settings, folder / "server.log", arguments, token)
    server.start()
    deadline = time.monotonic() + READY_WITHIN_S
    while server.client.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline, server.last_lines()
        time.sleep(0.1)
    return server
