"""Checks of this machine: the HTTP port of a worker, and the services that `thalweg up` started."""

import errno
import socket
from collections.abc import Iterator

from streams.commands.doctor.finding import Finding
from streams.config.settings import Settings
from streams.local.state_file import read_state


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
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            remedy = (
                "this is right when a worker already runs; for another one set THALWEG_HTTP_PORT to another port or 0"
            )
            return Finding("note", "http", f"{detail} is taken", remedy)
        remedy = "set THALWEG_HTTP_HOST to an address of this machine, THALWEG_HTTP_PORT to a port above 1023 or 0"
        return Finding("failed", "http", f"{detail}: {error}", remedy)
    return Finding("ok", "http", detail)


def check_local_services() -> Iterator[Finding]:
    """Check whether the services that `thalweg up` started still run. Yields nothing if there are none."""
    state = read_state()
    if state is None:
        return
    ended = sorted(set(state.pids) - set(state.running_pids()))
    if ended:
        remedy = f"run `thalweg down`, then `thalweg up`; logs are in {state.data_dir}"
        yield Finding("note", "thalweg up", f"{' and '.join(ended)} ended by itself", remedy)
    else:
        detail = f"Kafka at {state.client_settings['broker']}, Cassandra at {state.client_settings['cassandra']}"
        yield Finding("ok", "thalweg up", detail)
