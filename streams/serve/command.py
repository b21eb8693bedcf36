"""`thalweg serve`: the arguments, and the server around the application."""

import argparse
import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from encoder.errors import InputError
from export.runtime.bundle import Bundle
from streams.config.errors import SettingsError
from streams.config.settings import load_settings

if TYPE_CHECKING:
    import uvicorn

    from streams.serve.http.middleware import Application
    from streams.serve.live.live import Live
    from streams.serve.scoring.active_model import ActiveModel

HOST, PORT = "127.0.0.1", 8080
GRACE_S = 10  # for requests that are being answered when the server is asked to stop
BACKLOG = 2_048

EXTRA = "thalweg serve needs FastAPI and uvicorn: install thalweg with its extra, as in `pip install 'thalweg[serve]'`"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bundle",
        action="append",
        metavar="DIR",
        help="bundle that may become the active one; may be given several times (default: THALWEG_BUNDLE)",
    )
    parser.add_argument("--host", default=HOST, help=f"address to listen on (default: {HOST})")
    parser.add_argument("--port", type=int, default=PORT, help=f"port to listen on, 0 for any (default: {PORT})")
    parser.add_argument(
        "--tokens", type=Path, metavar="FILE", help="TOML file of bearer tokens; needed unless --host is a loopback"
    )
    parser.add_argument("--certificate", type=Path, metavar="FILE", help="PEM file of the server, turns TLS on")
    parser.add_argument("--key", type=Path, metavar="FILE", help="PEM file of the certificate's private key")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C. Raises SettingsError, BundleError, StoreError."""
    try:
        import uvicorn
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise SettingsError(EXTRA) from None
    from streams.commands.erase.erasure import Erasure
    from streams.serve.application import make_application
    from streams.serve.http.tokens import Tokens
    from streams.serve.live.live import Live
    from streams.serve.scoring.active_model import ActiveModel
    from streams.store.session import Session

    _check(args)
    settings = load_settings()
    bundles = [Bundle.load(folder) for folder in args.bundle or [settings.bundle_folder(None)]]
    tokens = None if args.tokens is None else Tokens(args.tokens)
    listening = _listen(args.host, args.port)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("streams").setLevel(logging.INFO)
    for client in ("aiokafka", "kafka"):  # the clients log every retry, and the readers of the topics say what failed
        logging.getLogger(client).setLevel(logging.CRITICAL)
    session = Session(settings)
    try:
        with ThreadPoolExecutor(1, "scores") as threads, threadpool_limits(1, "blas"):
            active = ActiveModel(bundles, session, settings.keyspace, threads)
            live = Live(settings, active.current)
            application = make_application(
                active.current,
                lambda user_id: Erasure(settings, session, user_id),
                tokens,
                lambda: _following(active, live),
                live,
            )
            scheme = "http" if args.certificate is None else "https"
            host, port = listening.getsockname()[:2]
            address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
            print(f"serve: the page is {address}/ and the document of the API is {address}/openapi.json", flush=True)
            server = uvicorn.Server(_configuration(application, args))
            live.is_ending = lambda: server.should_exit
            server.run([listening])
    finally:
        session.close()
        listening.close()
    return 0


def _configuration(application: "Application", args: argparse.Namespace) -> "uvicorn.Config":
    import uvicorn

    return uvicorn.Config(
        application,
        log_config=None,
        access_log=False,  # the line of `streams.serve.http.middleware` has no user ids
        http="httptools",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        backlog=BACKLOG,
        ssl_certfile=args.certificate,
        ssl_keyfile=args.key,
    )


@contextlib.asynccontextmanager
async def _following(active: "ActiveModel", live: "Live") -> AsyncIterator[None]:
    """Follow the active bundle inside the block. Until a bundle is found, every answer says what is missing."""
    following = asyncio.create_task(active.follow())
    try:
        yield
    finally:
        following.cancel()
        await live.close()


def _check(args: argparse.Namespace) -> None:
    """Raises InputError for arguments that do not fit together or that cannot be used."""
    if not 0 <= args.port <= 65535:
        raise InputError(f"--port is {args.port}: give a port from 1 to 65535, or 0 for any free port")
    if (args.certificate is None) != (args.key is None):
        raise InputError("--certificate and --key belong together: give both, or none for HTTP without TLS")
    if args.certificate is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(args.certificate, args.key)
        except (OSError, ssl.SSLError) as error:
            raise InputError(f"--certificate {args.certificate} and --key {args.key} cannot be used: {error}") from None
    if args.tokens is None and not _is_loopback(args.host):
        raise InputError(
            f"--host is {args.host}, which other machines can reach, and there are no --tokens: give a file of tokens, "
            f"or listen on {HOST}"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    """A socket that is bound to the address. Raises InputError for an address that cannot be bound."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"--host {host} --port {port}: {error}; give another --port, 0 for any free port, or an address of this "
            "machine"
        ) from None
    return found
