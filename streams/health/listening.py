"""What to do when a server of Thalweg cannot listen."""

import errno


def listen_remedy(error: Exception) -> str:
    """What to do when a server cannot listen on `http_host` and `http_port`."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return "set THALWEG_HTTP_PORT to another port, or to 0 for any free port"
    if number == errno.EACCES:
        return "set THALWEG_HTTP_PORT to a port above 1023, or to 0 for any free port"
    return "set THALWEG_HTTP_HOST to an address of this machine, such as 127.0.0.1 or 0.0.0.0"
