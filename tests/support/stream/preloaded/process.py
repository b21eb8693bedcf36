"""subprocess.Popen for the tests: commands of Thalweg are forks of a process that has loaded their modules."""

import asyncio
import atexit
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streams.local.process import service_process
from tests.support.stream.preloaded.server import Command

ROOT = Path(__file__).parents[4]
PROGRAMS = ("streams.cli", "tests.faults.programs.worker_main", "tests.faults.programs.archive_main")
_WRAPPER = str(service_process._EXEC_WRAPPER)
_real_starts = threading.Event()


@contextlib.contextmanager
def real_starts() -> Iterator[None]:
    """Inside the block, each command loads its modules by itself."""
    _real_starts.set()
    try:
        yield
    finally:
        _real_starts.clear()


class Server:
    """The process that is forked. The first request starts the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def fork(self, command: Command, descriptors: Sequence[int]) -> None:
        """descriptors: standard input, output and error, the pipe for the answers, and others to inherit."""
        with self._lock:
            if self._socket is None:
                self._socket = self._start()
            socket.send_fds(self._socket, [msgspec.json.encode(command)], list(descriptors))

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            program = [sys.executable, "-m", "tests.support.stream.preloaded.server", str(theirs.fileno())]
            server = subprocess.Popen(program, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd=ROOT)
        atexit.register(server.wait)
        atexit.register(ours.close)
        return ours


SERVER = Server()


class PreloadedPopen(subprocess.Popen[Any]):
    """As Popen. A command of Thalweg is a child of the server, whose pipe tells how the command ended.

    Types are ignored where the class uses private methods of Popen, which typeshed does not declare.
    """

    _answers: int | None = None

    def _execute_child(self, args: Any, *rest: Any) -> None:
        call = Call(*rest)
        command = None if _real_starts.is_set() else command_of(args, call)
        if command is None:
            super()._execute_child(args, *rest)  # type: ignore[misc]
            return
        self._answers, answer = os.pipe()
        try:
            standard = [number if given == -1 else given for number, given in enumerate(call.child_ends())]
            SERVER.fork(command, [*standard, answer, *call.pass_fds])
        finally:
            os.close(answer)
            self._close_pipe_fds(*call.pipes)  # type: ignore[attr-defined]
        if not (line := _line(self._answers)):
            raise ChildProcessError("the server of preloaded commands has ended")
        self.pid = int(line)
        self._child_created = True

    def _internal_poll(self, _deadstate: int | None = None, *_: Any, **__: Any) -> int | None:
        if self._answers is None:
            polled: int | None = super()._internal_poll(_deadstate)  # type: ignore[misc]
            return polled
        if self.returncode is None and self._waitpid_lock.acquire(blocking=False):  # type: ignore[attr-defined]
            try:
                pid, status = self._try_wait(os.WNOHANG)
                if pid and self.returncode is None:
                    self._handle_exitstatus(status)  # type: ignore[attr-defined]
            finally:
                self._waitpid_lock.release()  # type: ignore[attr-defined]
        return self.returncode

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._answers is None:
            waited: tuple[int, int] = super()._try_wait(wait_flags)  # type: ignore[misc]
            return waited
        if self.returncode is not None or (wait_flags and not select.select([self._answers], [], [], 0)[0]):
            return 0, 0
        status = int(_line(self._answers) or signal.SIGKILL)  # The processes end with the server.
        os.close(self._answers)
        return self.pid, status


class Call(NamedTuple):
    """The arguments of Popen._execute_child after the first, in CPython 3.11 to 3.13."""

    executable: Any
    preexec_fn: Any
    close_fds: Any
    pass_fds: Any
    cwd: Any
    env: Mapping[str, str] | None
    startupinfo: Any
    creationflags: Any
    shell: bool
    p2cread: int
    p2cwrite: int
    c2pread: int
    c2pwrite: int
    errread: int
    errwrite: int
    restore_signals: Any
    gid: Any
    gids: Any
    uid: Any
    umask: int
    start_new_session: bool
    process_group: int

    @property
    def pipes(self) -> tuple[int, ...]:
        return self[9:15]

    def child_ends(self) -> tuple[int, int, int]:
        """Standard input, output and error of the child; -1 where the child has those of this process."""
        return self.p2cread, self.c2pwrite, self.errwrite

    def is_plain(self) -> bool:
        """True where nothing is asked for that a fork of the server does not do."""
        changed = (self.shell, self.preexec_fn, self.executable, self.gid, self.gids, self.uid)
        return not any(changed) and (self.close_fds, self.umask, self.process_group) == (True, -1, -1)


def command_of(args: Any, call: Call) -> Command | None:
    """The command that a fork of the server can run; None for all others."""
    if not isinstance(args, list | tuple) or not call.is_plain() or asyncio._get_running_loop() is not None:
        return None  # asyncio waits for its processes by their ids, which asks for children of this process.
    words = [os.fspath(word) for word in args]
    if words[1:4] == ["-I", "-S", _WRAPPER] and words[5:6] == ["0"]:  # Each fork ends with the tests anyway.
        words = words[6:]
    if words[:2] != [sys.executable, "-m"] or "".join(words[2:3]) not in PROGRAMS:
        return None
    environment = dict(os.environ if call.env is None else call.env)
    if _of_python(environment) != _of_python(os.environ):
        return None
    folder = os.fspath(call.cwd or os.getcwd())
    return Command(words[2], words[3:], environment, folder, call.start_new_session)


def _of_python(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that an interpreter reads when the interpreter starts, except those that the server follows."""
    followed = {("PYTHONPATH", str(ROOT)), ("PYTHONUNBUFFERED", "1")}
    return {name: value for name, value in environment.items() - followed if name.startswith("PYTHON")}


def _line(descriptor: int) -> bytes:
    """The next line of a pipe; empty where the server has ended."""
    line = b""
    while not line.endswith(b"\n"):
        if not (read := os.read(descriptor, 1)):
            return b""
        line += read
    return line
