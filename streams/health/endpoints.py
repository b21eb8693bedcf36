"""The HTTP endpoints of a worker: /metrics for Prometheus, /healthz and /readyz for a supervisor.

Both health endpoints answer by progress. /healthz fails when the worker is about to end itself. /readyz fails when the
worker has had work for a while and has confirmed none of it, or when the worker has no partitions.
"""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from streams.config.errors import SettingsError
from streams.health.listening import listen_remedy
from streams.health.watchdog import Health


class HttpServer:
    """An HTTP server on the event loop of its caller."""

    def __init__(
        self, host: str, port: int, answers: Mapping[str, Callable[[web.Request], Awaitable[web.Response]]]
    ) -> None:
        """port: 0 means any free port; answers: by path."""
        self._host = host
        self._port = port
        self._answers = answers
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen, and return the address as `http://host:port`.

        Raises SettingsError for a port that is taken and for a host that is not an address of this machine.
        """
        app = web.Application()
        for path, answer in self._answers.items():
            app.router.add_get(path, answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except (OSError, UnicodeError) as error:  # A host that no name server can be asked for is a UnicodeError.
            raise SettingsError(
                f"http_port = {self._port} on http_host = {self._host!r}: {error}; {listen_remedy(error)}"
            ) from error
        host, port = self._runner.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening. Does nothing before `start`."""
        if self._runner is not None:
            await self._runner.cleanup()


class Endpoints(HttpServer):
    """The endpoints of one process."""

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        health: Callable[[], Health],
        has_assignment: Callable[[], bool],
    ) -> None:
        """port: 0 means any free port; has_assignment: whether the process has partitions to read."""
        super().__init__(host, port, {"/metrics": self._metrics, "/healthz": self._healthz, "/readyz": self._readyz})
        self._registry = registry
        self._health = health
        self._has_assignment = has_assignment

    async def _metrics(self, _: web.Request) -> web.Response:
        return metrics_response(self._registry)

    async def _healthz(self, _: web.Request) -> web.Response:
        health = self._health()
        return web.Response(text=f"{health}\n", status=503 if health == "stalled" else 200)

    async def _readyz(self, _: web.Request) -> web.Response:
        if self._health() != "ok":
            return web.Response(text="has work and makes no progress\n", status=503)
        if not self._has_assignment():
            return web.Response(text="no partitions yet\n", status=503)
        return web.Response(text="ready\n")


def metrics_response(registry: CollectorRegistry) -> web.Response:
    """The metrics of a registry in Prometheus's exposition format."""
    return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
