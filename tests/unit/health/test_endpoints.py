"""The HTTP endpoints of a worker."""

import asyncio
from pathlib import Path

from prometheus_client import CollectorRegistry

from streams.config.settings import load_settings
from streams.health.endpoints import Endpoints


def test_the_endpoints_listen_only_on_localhost_by_default(tmp_path: Path) -> None:
    settings = load_settings({"THALWEG_HOME": str(tmp_path)})
    assert settings.http_host == "127.0.0.1"

    async def address() -> str:
        endpoints = Endpoints(settings.http_host, settings.http_port, CollectorRegistry(), lambda: "ok", lambda: True)
        try:
            return await endpoints.start()
        finally:
            await endpoints.stop()

    assert asyncio.run(address()).startswith("http://127.0.0.1:")
