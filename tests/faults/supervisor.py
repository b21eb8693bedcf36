"""Starts each worker again when it ends, as systemd would."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from streams.config.settings import Settings
from streams.demo.worker_process import WorkerProcess
from streams.local.errors import LocalServiceError

ROOT = Path(__file__).parents[2]
RESTART_DELAY_S = 0.2
POLL_S = 0.05
# An orderly stop takes less. At 15 s the worker's own watchdog would end the process and hide what it waits for.
SLOW_STOP_S = 12.0
STACK_LINES = 150
# A worker that ends itself names the reason. The libraries log tracebacks before and after.
STATED_ENDS = (
    "We experienced a crash! Reraising original exception...\nthalweg worker: ",
    "\nthalweg worker: could not stop in order",
    "\nthalweg worker: has work and confirmed none",
)

Environment = Mapping[str, str]


def _has_unstated_traceback(log: str) -> bool:
    return "Traceback" in log and not any(text in log for text in STATED_ENDS)


class FaultWorker(WorkerProcess):
    """One process of a worker. It runs the production code, started by `tests.faults.programs.worker_main`."""

    def __init__(self, settings: Settings, log: Path, faults: Environment, options: Sequence[str] = ()) -> None:
        command = [sys.executable, "-m", "tests.faults.programs.worker_main", *options]
        super().__init__(settings, log, command, {"PYTHONPATH": str(ROOT), **faults})

    def children(self) -> list[int]:
        """Return the ids of the processes that `thalweg worker --processes` has started."""
        lines = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid="], text=True).splitlines()
        return [int(pid) for pid, parent in map(str.split, lines) if int(parent) == self.pid]

    def log_stacks(self) -> None:
        """Make the worker write the stacks of its threads and tasks to its log."""
        with contextlib.suppress(LocalServiceError):  # the process has ended meanwhile
            self.send_signal(signal.SIGUSR1)


class Slot:
    """A worker that has to be kept running, and its processes (lives) so far."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lives: list[FaultWorker] = []
        self.wanted = True
        self.ended_at: float | None = None

    @property
    def current(self) -> FaultWorker:
        return self.lives[-1]


class Supervisor:
    """Keeps its workers running. Each process of a worker has its own folder and log."""

    def __init__(self, settings: Settings, folder: Path, name: str = "worker") -> None:
        self.settings = settings
        self.faults_of: Callable[[int], Environment] = (
            lambda life: {}
        )  # variables FAULT_* of the n-th process over all slots
        self.options: Sequence[str] = ()  # of `thalweg worker`
        self.slots: list[Slot] = []
        self.slow_to_end: list[str] = []
        self._folder = folder
        self._name = name
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self, workers: int) -> None:
        for _ in range(workers):
            self.add()
        self._thread.start()

    def add(self) -> Slot:
        with self._lock:
            slot = Slot(len(self.slots))
            self.slots.append(slot)
            self._begin_life(slot)
            return slot

    def remove(self, slot: Slot) -> None:
        """End the worker in order and do not start it again."""
        slot.wanted = False
        self.terminate(slot)

    def kill(self, slot: Slot) -> None:
        with self._lock:
            slot.current.kill()

    def terminate(self, slot: Slot) -> None:
        """Send SIGTERM and wait for the end. If the worker is still wanted, it is started again."""
        with self._lock:
            life = slot.current
        if life.pid is None:
            return
        began = time.monotonic()
        timer = threading.Timer(SLOW_STOP_S, life.log_stacks)
        timer.start()
        life.stop()
        timer.cancel()
        took_s = time.monotonic() - began
        if took_s > SLOW_STOP_S:
            stacks = life.last_lines(STACK_LINES)  # A slow stop comes seldom again, so its reason has to be here.
            self.slow_to_end.append(f"{life.log.parent.name} took {took_s:.0f} s to end after SIGTERM{stacks}")

    def stop(self) -> None:
        """End all workers in order and start none again."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        ends = [threading.Thread(target=self.remove, args=[slot]) for slot in self.slots]
        for thread in ends:
            thread.start()
        for thread in ends:
            thread.join()

    @property
    def running(self) -> list[Slot]:
        with self._lock:
            return [slot for slot in self.slots if slot.wanted and slot.current.pid is not None]

    @property
    def lives(self) -> list[FaultWorker]:
        return [life for slot in self.slots for life in slot.lives]

    def count_killed(self) -> int:
        """Count the processes that SIGKILL ended."""
        return sum(life.exit_code == -signal.SIGKILL for life in self.lives)

    def failed(self) -> list[FaultWorker]:
        """Return the processes that ended with an error and not by a signal. Their logs tell the error."""
        return [life for life in self.lives if life.exit_code not in (None, 0, -signal.SIGKILL, -signal.SIGTERM)]

    def crashed(self) -> list[FaultWorker]:
        """Return the processes that logged a traceback, and that did not end themselves with a stated reason."""
        return [life for life in self.lives if _has_unstated_traceback(life.log.read_text(errors="replace"))]

    def logs(self) -> str:
        """Return the logs of all processes, joined."""
        return "".join(life.log.read_text(errors="replace") for life in self.lives)

    def _watch(self) -> None:
        while not self._stopped.wait(POLL_S):
            with self._lock:
                for slot in self.slots:
                    if not slot.wanted or slot.current.pid is not None:
                        slot.ended_at = None
                    elif slot.ended_at is None:
                        slot.ended_at = time.monotonic()
                    elif time.monotonic() - slot.ended_at >= RESTART_DELAY_S:
                        slot.ended_at = None
                        self._begin_life(slot)

    def _begin_life(self, slot: Slot) -> None:
        folder = self._folder / f"{self._name}-{slot.number}-life-{len(slot.lives)}"
        folder.mkdir(parents=True)
        life = FaultWorker(self.settings, folder / "worker.log", self.faults_of(len(self.lives)), self.options)
        slot.lives.append(life)
        life.start(wait=False)
