"""The process that is forked: `python -m tests.support.stream.preloaded.server SOCKET`.

SOCKET is the number of an inherited socket. The server ends when the other side of the socket is closed.

A request is one message: a `Command` as JSON, with the descriptors that the command inherits. The first four are
standard input, output and error, and a pipe. The server writes the id of the process into the pipe, and later the exit
status of the process as os.waitpid returns the status.
"""

import contextlib
import ctypes
import gc
import importlib
import os
import runpy
import select
import signal
import socket
import sys
from typing import NamedTuple

import msgspec

# What the commands load. `streams.cli` is missing, because each command runs that module itself.
MODULES = (
    "streams.worker.command",
    "streams.supervisor.command",
    "streams.commands.verify.command",
    "streams.commands.doctor.command",
    "streams.commands.setup.command",
    "streams.commands.archive.command",
    "streams.commands.backfill.command",
    "streams.commands.replay.command",
    "streams.monitor.command",
    "streams.serve.command",
)
MOST_BYTES, MOST_DESCRIPTORS = 1 << 20, 16
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


class Command(msgspec.Struct):
    """What a process runs."""

    module: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    is_session: bool  # The process leads a session of its own, as `start_new_session` of Popen says.


class Fork(NamedTuple):
    """What a forked process has to become."""

    command: Command
    descriptors: list[int]


def serve(requests: socket.socket) -> Fork | None:
    """Fork a process for each request. Returns in each of them, and without a fork when no more requests come."""
    pipes: dict[int, int] = {}  # by process id
    wakes, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the tests, which then close the socket.
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    while True:
        readable, _, _ = select.select([requests, wakes], [], [])
        if wakes in readable:
            os.read(wakes, 4096)
            _report_ended(pipes)
        if requests not in readable:
            continue
        text, descriptors, _, _ = socket.recv_fds(requests, MOST_BYTES, MOST_DESCRIPTORS)
        if not text:
            return None
        command = msgspec.json.decode(text, type=Command)
        if pid := os.fork():
            os.write(descriptors[3], b"%d\n" % pid)
            pipes[pid] = descriptors[3]
            for number in (*descriptors[:3], *descriptors[4:]):
                os.close(number)
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        requests.close()
        for number in (wakes, wake, *pipes.values(), descriptors.pop(3)):
            os.close(number)
        return Fork(command, descriptors)


def _report_ended(pipes: dict[int, int]) -> None:
    """Write the exit status of each process that has ended."""
    while pipes:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        pipe = pipes.pop(pid)
        with contextlib.suppress(BrokenPipeError):
            os.write(pipe, b"%d\n" % status)
        os.close(pipe)


def become(fork: Fork) -> None:
    """Run the command as `python -m` does. Raises SystemExit, which ends this process as usual."""
    command = fork.command
    if sys.platform == "linux":  # The process ends with the server, and so with the tests.
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if command.is_session:
        os.setsid()
    for number, descriptor in enumerate(fork.descriptors[:3]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(command.environment)
    os.chdir(command.folder)
    sys.argv = [command.module, *command.arguments]
    named = command.environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [command.folder, *(path for path in named if path and path not in sys.path[1:])]
    sys.stdout.reconfigure(line_buffering=os.isatty(1) or "PYTHONUNBUFFERED" in os.environ)
    runpy.run_module(command.module, run_name="__main__", alter_sys=True)


def main() -> None:
    requests = socket.socket(fileno=int(sys.argv[1]))
    for module in MODULES:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # A collection in a forked process would copy the pages of all these objects.
    fork = serve(requests)
    if fork is not None:
        become(fork)


if __name__ == "__main__":
    main()
