"""The names under which a server without tokens answers.

A page of another site may let its own name point to the loopback address (DNS rebinding). A browser then takes the
server for a part of that site, and lets the page read and erase. Such a request has the site's name in its Host header.
An address or `localhost` in the header is no name that a site can own.
"""

import ipaddress
from functools import lru_cache

from streams.serve.http.problems import SHOWN_CHARACTERS, ProblemError

LOCAL_NAME = "localhost"  # also every name that ends so: RFC 6761, section 6.3


def check_host(header: bytes) -> None:
    """Raises ProblemError for the Host header of a browser that was led here under the name of a site.

    header: empty where a client sends none, which no browser does.
    """
    if header and not _is_own(header):
        shown = header[:SHOWN_CHARACTERS].decode("latin-1")
        detail = (
            f"Host is {shown!r}: a server without tokens answers under `{LOCAL_NAME}` and under addresses alone; ask "
            f"for http://{LOCAL_NAME}, let a proxy send `Host: {LOCAL_NAME}`, or start the server with --tokens"
        )
        raise ProblemError(403, "forbidden-host", "No name of this server", detail)


@lru_cache(maxsize=64)  # a client sends the same header with each request
def _is_own(header: bytes) -> bool:
    """Whether the header holds an address or a name of this machine, with or without a port."""
    name = header.decode("latin-1").lower()
    host, colon, port = name.rpartition(":")
    if colon and (not port or (port.isascii() and port.isdigit())) and (":" not in host or host.endswith("]")):
        name = host
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    name = name.removesuffix(".")
    if name == LOCAL_NAME or name.endswith(f".{LOCAL_NAME}"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
