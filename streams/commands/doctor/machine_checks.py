"""Checks of this machine: the HTTP port of a worker, and the services that `thalweg up` started."""

import errno
import http.client
import socket
import urllib.request
from collections.abc import Iterator

from streams.commands.doctor.finding import Finding
from streams.config.settings import Settings
from streams.health.listening import listen_remedy
from streams.local.state_file import read_state

PROBE_TIMEOUT_S = 1.0
PROBE_BYTES = 65_536


def check_http_port(settings: Settings) -> Finding:
    """Check whether a worker or a monitor that starts now can listen. Binds as their HTTP server binds."""
    host, port = settings.http_host, settings.http_port
    detail = f"port {port} on {host}" if port else f"any free port on {host}"
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            with socket.socket(family, kind, protocol) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
    except (OSError, UnicodeError) as error:  # as the HTTP server of a worker
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE and _serves_metrics(host, port):
            remedy = "for a further worker or monitor, set THALWEG_HTTP_PORT to another port or to 0"
            return Finding("note", "http", f"{detail} is taken by a worker or a monitor of Thalweg", remedy)
        return Finding("failed", "http", f"{detail}: {error}", listen_remedy(error))
    return Finding("ok", "http", detail)


def _serves_metrics(host: str, port: int) -> bool:
    """True when the program that listens on the port is a worker or a monitor of Thalweg."""
    address = f"[{host}]" if ":" in host else host
    try:
        with urllib.request.urlopen(f"http://{address}:{port}/metrics", timeout=PROBE_TIMEOUT_S) as response:
            return b"thalweg_" in response.read(PROBE_BYTES)
    except (OSError, ValueError, http.client.HTTPException):
        return False


def check_local_services() -> Iterator[Finding]:
    """Check whether the services that `thalweg up` started still run. Yields nothing if there are none."""
    state = read_state()
    if state is None:
        return
    ended = sorted(set(state.pids) - set(state.running_pids()))
    if ended:
        nodes = "" if state.nodes == 1 else f" --nodes {state.nodes}"
        remedy = f"run `thalweg up{nodes}{' --secure' if state.is_secure else ''}` again; logs are in {state.data_dir}"
        yield Finding("note", "thalweg up", f"not running any more: {', '.join(ended)}", remedy)
    else:
        detail = f"Kafka at {state.client_settings['broker']}, Cassandra at {state.client_settings['cassandra']}"
        yield Finding("ok", "thalweg up", detail)
