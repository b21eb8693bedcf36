"""`thalweg serve`: the arguments, and what is checked before the server starts."""

import argparse
import ipaddress
import logging
import socket
import ssl
from pathlib import Path

from encoder.console import open_console
from encoder.errors import InputError
from export.runtime.bundle import Bundle
from streams.config.errors import SettingsError
from streams.config.loading import load_settings
from streams.config.log_filters import RateLimitFilter, strip_traceback

HOST, PORT = "127.0.0.1", 8080
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
    parser.add_argument(
        "--lookalikes",
        action="store_true",
        help="keep all users of the updates topic in memory, about 0.5 kB each, and answer who is like whom",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="measure how many of the best items the index of a large catalogue finds, and end without serving; fails "
        "where a recall is below 0.95",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C, or check. Raises InputError, SettingsError, BundleError, StoreError."""
    try:
        from streams.serve.http.tokens import Tokens
        from streams.serve.scoring.check import check
        from streams.serve.server import serve
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] in ("encoder", "export", "streams"):
            raise
        raise SettingsError(EXTRA) from None
    _check(args)
    settings = load_settings()
    bundles = [Bundle.load(folder) for folder in args.bundle or [settings.bundle_folder(None)]]
    if args.check:
        console = open_console()
        passed = [check(bundle, console) for bundle in bundles]
        return 0 if all(passed) else 1
    tokens = None if args.tokens is None else Tokens(args.tokens)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(RateLimitFilter())
        handler.addFilter(strip_traceback)
    logging.getLogger("streams").setLevel(logging.INFO)
    with _listen(args.host, args.port) as listening:
        serve(settings, bundles, listening, tokens, args.certificate, args.key, args.lookalikes)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raises InputError for arguments that do not fit together or that cannot be used."""
    if not 0 <= args.port <= 65535:
        raise InputError(f"--port is {args.port}: give a port from 1 to 65535, or 0 for any free port")
    if (args.certificate is None) != (args.key is None):
        raise InputError("--certificate and --key belong together: give both, or none for HTTP without TLS")
    if args.certificate is not None:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(args.certificate, args.key, password=lambda: _refuse_phrase(args.key))
        except (OSError, ssl.SSLError) as error:
            raise InputError(f"--certificate {args.certificate} and --key {args.key} cannot be used: {error}") from None
    if args.tokens is None and not _is_loopback(args.host):
        raise InputError(
            f"--host is {args.host}, which other machines can reach, and there are no --tokens: give a file of tokens, "
            f"or listen on {HOST}"
        )


def _refuse_phrase(key: Path) -> str:
    """Raise InputError, because OpenSSL would otherwise ask a terminal that a service does not have."""
    raise InputError(
        f"--key {key} is encrypted with a phrase: give a key without one, as `openssl pkey -in {key} -out FILE` writes"
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
