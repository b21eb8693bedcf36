"""One service as a process: start it, wait until it answers, pause, stop or kill it."""

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

POLL_S = 0.05
START_LIMIT_S = 120.0
STOP_LIMIT_S = 20.0
_LAUNCH = Path(__file__).with_name("launch.py")

# Linux ends a bound process with the *thread* that started it, so all are started by one that lives to the end.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-services")


class Service:
    """A program with a port, a log file and a way to tell whether it answers."""

    def __init__(
        self,
        name: str,
        address: str,
        command: Sequence[str],
        log: Path,
        answers: Callable[[], bool],
        environment: Mapping[str, str],
        bound: bool,
        timer_slack_us: int = 0,
    ) -> None:
        """bound: the process ends with this one, however this one ends (on Linux; elsewhere only an orderly end).
        timer_slack_us: how late its threads may wake up from a timed wait; 0: as the system has it.
        """
        self.name = name
        self.address = address  # host:port
        self.log = log
        self._command = list(command)
        self._answers = answers
        self._environment = dict(environment)
        self._bound = bound
        self._timer_slack_us = timer_slack_us
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, wait: bool = True) -> None:
        """Start on the same port and data as before. Raises LocalServiceError where it does not come up."""
        if self.pid is None:
            self._process = _starter.submit(self._spawn).result()
        if wait:
            self.wait_until_it_answers()

    def wait_until_it_answers(self, limit_s: float = START_LIMIT_S) -> None:
        """Raises LocalServiceError with the end of the log where the process ended or the limit passed."""
        deadline = time.monotonic() + limit_s
        while not self._answers():
            if self._process is None or self._process.poll() is not None:
                code = None if self._process is None else self._process.returncode
                raise LocalServiceError(f"{self.name} ended with code {code} instead of starting{self.last_lines()}")
            if time.monotonic() > deadline:
                raise LocalServiceError(f"{self.name} did not answer within {limit_s:.0f} s{self.last_lines()}")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """End it in order (SIGTERM), or by force where that takes too long."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)  # a paused process would not see the next one
            self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused one go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            raise LocalServiceError(f"{self.name} is not running: start() it before sending {number.name}")
        self._process.send_signal(number)

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = self._command
        if self._bound or self._timer_slack_us:
            parent = os.getpid() if self._bound else 0
            launch = [sys.executable, "-I", "-S", str(_LAUNCH), str(parent), str(1000 * self._timer_slack_us)]
            command = [*launch, *command]
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
                pass_fds=[lock.fileno()],  # so the lock lasts as long as the process, without us
                start_new_session=True,  # a Ctrl-C in the terminal is for the parent, which then stops it in order
            )

    def last_lines(self, count: int = 15) -> str:
        try:
            with self.log.open(errors="replace") as lines:
                return f"; the end of {self.log}:\n" + "".join(deque(lines, count))
        except FileNotFoundError:
            return ""


def is_running(pid: int) -> bool:
    """True while a process with this id exists and has not ended (a zombie has)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:  # no /proc here, or gone meanwhile
        return not Path("/proc/self").exists()


def end_process(pid: int, limit_s: float = STOP_LIMIT_S) -> None:
    """Ask a process of another session to end, and force it after the limit."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + limit_s
        while is_running(pid):
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
            time.sleep(POLL_S)
