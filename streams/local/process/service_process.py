"""One service as a child process: start the process, wait until the service is ready, pause, stop or kill it."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from streams.local.errors import LocalServiceError
from streams.local.process.process_ids import POLL_S, STOP_LIMIT_S

START_LIMIT_S = 120.0
_EXEC_WRAPPER = Path(__file__).with_name("exec_wrapper.py")

# Linux kills a process that ends with its parent when the *thread* that started the process ends. One thread that lives
# as long as this process therefore starts all of them.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-services")


class ServiceProcess:
    """A program with a port, a log file and a readiness probe."""

    def __init__(
        self,
        name: str,
        address: str,
        command: Sequence[str],
        log: Path,
        is_ready: Callable[[], bool],
        environment: Mapping[str, str],
        ends_with_parent: bool,
        timer_slack_us: int = 0,
    ) -> None:
        """is_ready: the readiness probe.
        ends_with_parent: the process is killed when this process ends in any way. This works on Linux alone.
        timer_slack_us: how late the threads may wake up from a timed wait; 0 keeps the system's value.
        """
        self.name = name
        self.address = address  # host:port
        self.log = log
        self._command = list(command)
        self._is_ready = is_ready
        self._environment = dict(environment)
        self._ends_with_parent = ends_with_parent
        self._timer_slack_us = timer_slack_us
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while the process runs; None otherwise."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """The exit code as subprocess gives it, negative for a signal; None while the process runs or never ran."""
        return None if self._process is None else self._process.poll()

    def start(self, wait: bool = True) -> None:
        """Start on the same port and data as before. Raises LocalServiceError when the service does not start."""
        if self.pid is None:
            spawning = _starter.submit(self._spawn)
            try:
                self._process = spawning.result()
            except BaseException:  # A signal came meanwhile: `kill` must find the process.
                self._process = spawning.result()
                raise
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self, limit_s: float = START_LIMIT_S) -> None:
        """Raises LocalServiceError with the end of the log when the process ended or the limit passed."""
        deadline_s = time.monotonic() + limit_s
        while not self._is_ready():
            if self.pid is None:
                raise LocalServiceError(
                    f"{self.name} ended with code {self.exit_code} instead of starting{self.last_lines()}"
                )
            if time.monotonic() > deadline_s:
                raise LocalServiceError(f"{self.name} did not answer within {limit_s:.0f} s{self.last_lines()}")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """Send SIGTERM and wait until the process has ended. Kill the process when that takes too long."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)  # a paused process would not act on SIGTERM
            self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL, which has the effect of a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Send SIGSTOP: connections stay open, and the service answers nothing."""
        self.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT to a paused process."""
        self.send_signal(signal.SIGCONT)

    def send_signal(self, number: signal.Signals) -> None:
        """Raises LocalServiceError when the process does not run."""
        if self._process is None or self.pid is None:
            raise LocalServiceError(f"{self.name} is not running: start() it before sending {number.name}")
        self._process.send_signal(number)

    def last_lines(self, count: int = 15) -> str:
        """The last lines of the log with a heading, ready to be appended to a message; empty without a log."""
        try:
            with self.log.open(errors="replace") as lines:
                return f"; the end of {self.log}:\n" + "".join(deque(lines, count))
        except FileNotFoundError:
            return ""

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = self._command
        if self._ends_with_parent or self._timer_slack_us:
            parent_pid = os.getpid() if self._ends_with_parent else 0
            arguments = [str(parent_pid), str(1000 * self._timer_slack_us)]
            command = [sys.executable, "-I", "-S", str(_EXEC_WRAPPER), *arguments, *command]
        with self.log.open("ab") as log, self.log.with_name("lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LocalServiceError(
                    f"another {self.name} still uses the data in {self.log.parent}: end it first"
                ) from None
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self.log.parent,
                pass_fds=[lock.fileno()],  # the child inherits the lock, which then lasts as long as the child
                start_new_session=True,  # Ctrl-C in the terminal reaches the parent alone, which stops the child
            )
