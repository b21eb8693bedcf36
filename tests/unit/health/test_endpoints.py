"""The HTTP endpoints of a worker."""

import asyncio
import re
import socket
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from streams.config.errors import SettingsError
from streams.config.loading import load_settings
from streams.health.endpoints import Endpoints


def test_the_endpoints_listen_only_on_localhost_by_default(tmp_path: Path) -> None:
    settings = load_settings({"THALWEG_HOME": str(tmp_path)})
    assert settings.http_host == "127.0.0.1"

    assert listen(settings.http_host, settings.http_port).startswith("http://127.0.0.1:")


def listen(host: str, port: int) -> str:
    async def address() -> str:
        endpoints = Endpoints(host, port, CollectorRegistry(), lambda: "ok", lambda: True)
        try:
            return await endpoints.start()
        finally:
            await endpoints.stop()

    return asyncio.run(address())


def test_a_taken_port_is_an_error_that_names_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            SettingsError, match=rf"http_port = {port} on http_host = '127\.0\.0\.1'.*THALWEG_HTTP_PORT"
        ):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["192.0.2.1", "metrics.invalid", "x" * 70])  # reserved names, and no name at all
def test_a_host_that_is_not_this_machine_is_an_error_that_names_the_host(host: str) -> None:
    with pytest.raises(SettingsError, match=rf"http_host = '{host}'.*THALWEG_HTTP_HOST"):
        listen(host, 0)


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert re.fullmatch(r"http://\[::1\]:\d+", listen("::1", 0))
