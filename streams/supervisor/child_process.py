"""A worker process as its supervisor sees it."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from streams.supervisor.link import Report

# A worker steps and ranks on one thread each. Libraries of linear algebra would start a thread for each core.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Ending(NamedTuple):
    """How a process has ended."""

    code: int  # negative for a signal
    error: str  # the message of the error; empty where the process reported none
    may_restart: bool

    def __str__(self) -> str:
        if self.error:
            return f"ended: {self.error}"
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        with contextlib.suppress(ValueError):
            return f"ended by {signal.Signals(-self.code).name}"
        return f"ended by signal {-self.code}"


class ChildProcess:
    """A running process. The supervisor's event loop reads what the process reports."""

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader) -> None:
        self._process = process
        self._last = Report()
        self.address: str | None = None  # known once the process serves its endpoints
        self.group: str | None = None
        self._served_from_s: float | None = None
        self._reading = asyncio.create_task(self._read(reader))

    @classmethod
    async def start(cls, arguments: Sequence[str]) -> "ChildProcess":
        """Start `thalweg ARGUMENTS --link DESCRIPTOR` in a fresh interpreter.

        The process has a process group of its own, so Ctrl-C in a terminal reaches the supervisor alone.
        """
        own, other = socket.socketpair()
        with other:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "streams.cli", *arguments, "--link", str(other.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                env=child_environment(os.environ, sys.path),
                pass_fds=[other.fileno()],
                process_group=0,
            )
        reader, writer = await asyncio.open_connection(sock=own)
        child = cls(process, reader)
        child._reading.add_done_callback(lambda _: writer.close())  # the end of the link is the end of the process
        return child

    @property
    def served_s(self) -> float:
        """How long the process has served its endpoints."""
        return 0.0 if self._served_from_s is None else time.monotonic() - self._served_from_s

    async def wait(self) -> Ending:
        """Wait for the end of the process."""
        code = await self._process.wait()
        await self._reading
        return Ending(code, self._last.error, self._last.may_restart)

    def send_signal(self, number: signal.Signals) -> None:
        """Does nothing where the process has ended.

        `Process.send_signal` would look whether the process has ended, and so take the exit code away from the thread
        of asyncio that waits for the code. The code would then be 255.
        """
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def terminate(self) -> None:
        """Ask the process to stop in order, also where it is paused."""
        self.send_signal(signal.SIGCONT)
        self.send_signal(signal.SIGTERM)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                self._last = msgspec.json.decode(line, type=Report)
                if self._last.address:
                    self.address, self._served_from_s = self._last.address, time.monotonic()
                self.group = self._last.group or self.group


def child_environment(environment: Mapping[str, str], path: Sequence[str]) -> dict[str, str]:
    """The environment of a child: the modules come from the same folders in the same order as those of this process.

    path: the `sys.path` of this process, in which "" is the working directory.
    """
    threads = dict.fromkeys(THREAD_VARIABLES, "1")
    folders = [os.path.abspath(folder) for folder in path]
    return {**threads, **environment, "PYTHONPATH": os.pathsep.join(folders)}
