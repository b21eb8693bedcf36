"""The link between a supervisor and a worker process: a pair of connected sockets.

The process tells the supervisor its address, and the error that ended it. The supervisor tells nothing. When the
supervisor ends in any way, also by SIGKILL, the system closes the supervisor's socket, and the process stops itself.
"""

import contextlib
import os
import signal
import socket
import threading
import time

import msgspec

from streams.config.errors import ThalwegError, restart_helps
from streams.health.watchdog import STOP_LIMIT_S

# The watchdog of a worker ends a stop that takes longer than STOP_LIMIT_S, and says why. Only a process whose watchdog
# does not run yet is ended by this limit.
END_LIMIT_S = STOP_LIMIT_S + 2.0


class Report(msgspec.Struct, omit_defaults=True):
    """One line from a process to its supervisor."""

    address: str = ""  # of the HTTP endpoints, `http://host:port`, once the process serves them
    group: str = ""  # the consumer group of the process
    error: str = ""  # the message of the error that ends the process
    may_restart: bool = True  # whether a further start may succeed


class Link:
    """The end of the link in the worker process."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.set_inheritable(False)

    def watch(self) -> None:
        """Stop this process, as SIGTERM does, when the supervisor has ended."""
        threading.Thread(target=self._watch, name="supervisor-link", daemon=True).start()

    def report(self, report: Report) -> None:
        """Send a line. Does nothing where the supervisor has ended."""
        with contextlib.suppress(OSError):
            self._socket.sendall(msgspec.json.encode(report) + b"\n")

    def report_failure(self, error: ThalwegError) -> None:
        """Tell the supervisor the error that ends this process."""
        self.report(Report(error=str(error), may_restart=restart_helps(error)))

    def _watch(self) -> None:
        with contextlib.suppress(OSError):
            while self._socket.recv(1):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(END_LIMIT_S)
        os._exit(1)
