"""The worker's own HTTP endpoints: /metrics for Prometheus, /healthz and /readyz for whoever restarts it."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from streams.errors import SettingsError


class Endpoints:
    """An HTTP server on the worker's event loop, bound to localhost unless settings say otherwise."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry, is_ready: Callable[[], bool]) -> None:
        self._host = host
        self._port = port
        self._registry = registry
        self._is_ready = is_ready
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen, and return the address. Raises SettingsError where the port is taken."""
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            raise SettingsError(f"http_port = {self._port} on {self._host}: {error}; set THALWEG_HTTP_PORT") from error
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self._is_ready()
        return web.Response(text="ready\n" if ready else "no partitions yet\n", status=200 if ready else 503)
