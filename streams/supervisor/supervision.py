"""Keeps several worker processes running, and ends all of them together."""

import asyncio
import signal
import sys
import time
from collections.abc import Sequence

from streams.config.errors import ThalwegError
from streams.supervisor.backoff import Backoff
from streams.supervisor.child_process import ChildProcess, Ending
from streams.supervisor.link import END_LIMIT_S
from streams.supervisor.merged_metrics import MergedMetrics

# Exit codes after SIGTERM. A worker that has not begun yet ends by the signal.
ORDERLY = (0, 128 + signal.SIGTERM, -signal.SIGTERM)


class WorkerFailedError(ThalwegError):
    """A worker process ended by an error that a restart does not mend. The message is that of the process."""


class Supervision:
    """One process for each list of arguments. The processes are numbered from 1."""

    def __init__(self, arguments: Sequence[Sequence[str]], metrics: MergedMetrics) -> None:
        """arguments: of each process, for the program `thalweg`."""
        self._arguments = dict(enumerate(arguments, 1))
        self._metrics = metrics
        self._children: dict[int, ChildProcess] = {}
        self._is_stopping = asyncio.Event()
        self._is_killing = asyncio.Event()
        self._has_served = False  # a process has once served its endpoints
        self.is_orderly = True  # False when a process has not ended in order after it was told to stop
        self.group: str | None = None  # the consumer group, once a process has told the group

    def addresses(self) -> dict[int, str | None]:
        """The address of each process by its number; None while the process serves no endpoints."""
        return {number: self._address(number) for number in self._arguments}

    def ask_to_stop(self) -> None:
        """End all processes in order, and kill them at the second call."""
        if self._is_stopping.is_set():
            self._is_killing.set()
        self._is_stopping.set()

    def forward(self, number: signal.Signals) -> None:
        """Send a signal to each process."""
        for child in self._children.values():
            child.send_signal(number)

    async def run(self) -> None:
        """Run until `ask_to_stop` and until every process has ended.

        Raises WorkerFailedError for an error that no restart mends, after all other processes have ended.
        """
        keeping = [asyncio.create_task(self._keep_running(number)) for number in self._arguments]
        stopping = asyncio.create_task(self._is_stopping.wait())
        await asyncio.wait([*keeping, stopping], return_when=asyncio.FIRST_COMPLETED)
        self._is_stopping.set()
        await self._end_all(keeping)
        # asyncio prints an exception that nobody has asked for, and two processes may fail at the same moment.
        failures = [error for error in map(asyncio.Task.exception, keeping) if error is not None]
        if failures:
            raise failures[0]

    async def _keep_running(self, number: int) -> None:
        backoff = Backoff()
        while not self._is_stopping.is_set():
            child = self._children[number] = await ChildProcess.start(self._arguments[number])
            self._metrics.running += 1
            if self._is_stopping.is_set():  # The order to stop came before the process was known.
                child.terminate()
            ending = await child.wait()
            self._metrics.running -= 1
            self._metrics.retire(number)
            del self._children[number]
            self.group = child.group or self.group
            if self._is_stopping.is_set():
                self.is_orderly = self.is_orderly and ending.code in ORDERLY
                return
            self._has_served = self._has_served or child.address is not None or any(self.addresses().values())
            self._check(ending)
            wait_s = backoff.next_wait_s(child.served_s)
            _say(f"process {number} {ending}; it starts again in {wait_s:g} s")
            await self._stop_within(wait_s)
            self._metrics.restarts += 1

    def _check(self, ending: Ending) -> None:
        """Raises WorkerFailedError where the process should not be started again.

        An error before any process has served its endpoints ends the command, as with one process: most often a service
        does not run or an address is wrong.
        """
        if ending.error and not (ending.may_restart and self._has_served):
            raise WorkerFailedError(ending.error)

    async def _stop_within(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._is_stopping.wait()
        except TimeoutError:
            pass

    async def _end_all(self, keeping: Sequence[asyncio.Task[None]]) -> None:
        """Ask all processes to stop, and kill those that still run after END_LIMIT_S or at a second order."""
        for child in self._children.values():
            child.terminate()
        killing = asyncio.create_task(self._is_killing.wait())
        ended = asyncio.create_task(asyncio.wait(keeping))
        began_s = time.monotonic()
        await asyncio.wait([ended, killing], timeout=END_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        for number, child in self._children.items():
            _say(f"process {number} did not end in {time.monotonic() - began_s:.0f} s and is killed")
            child.send_signal(signal.SIGKILL)
        await ended
        killing.cancel()

    def _address(self, number: int) -> str | None:
        child = self._children.get(number)
        return None if child is None else child.address


def _say(text: str) -> None:
    print(f"thalweg worker: {text}", file=sys.stderr, flush=True)
