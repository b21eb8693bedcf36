"""What a supervisor does when its processes end. The processes are played by objects of this file."""

import asyncio
import gc
import signal
import time
from collections import defaultdict
from collections.abc import Sequence

import pytest

from streams.config.errors import BrokerError, SettingsError, TopicRemadeError, restart_helps
from streams.supervisor import supervision
from streams.supervisor.backoff import FIRST_S
from streams.supervisor.child_process import ChildProcess, Ending, child_environment
from streams.supervisor.merged_metrics import MergedMetrics
from streams.supervisor.supervision import Supervision, WorkerFailedError

KILLED = Ending(-signal.SIGKILL, "", True)


class PlayedProcess:
    """Ends at once with the given ending, or else at SIGTERM, or else at SIGKILL alone."""

    def __init__(self, ending: Ending | None, address: str | None = "http://p", hangs: bool = False) -> None:
        self.address, self.group, self.served_s = address, "group", 1.0
        self.signals: list[signal.Signals] = []
        self._hangs = hangs
        self._ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        if ending is not None:
            self._ended.set_result(ending)

    async def wait(self) -> Ending:
        return await self._ended

    def terminate(self) -> None:
        self.signals.append(signal.SIGTERM)
        if not self._hangs and not self._ended.done():
            self._ended.set_result(Ending(0, "", True))

    def send_signal(self, number: signal.Signals) -> None:
        self.signals.append(number)
        if number == signal.SIGKILL and not self._ended.done():
            self._ended.set_result(KILLED)


class Stage:
    """Starts played processes in place of real ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **endings: Sequence[Ending | None]) -> None:
        """endings: of the lives of each process; a life without an ending runs until it is told to stop."""
        self.started: dict[str, list[PlayedProcess]] = defaultdict(list)
        self.started_at_s: dict[str, list[float]] = defaultdict(list)
        self.address: str | None = "http://p"
        self.hangs = False
        self._endings = endings
        monkeypatch.setattr(ChildProcess, "start", self._start)
        self.metrics = MergedMetrics()

    async def run(self, stop_after_s: float = 0.0, orders: int = 1) -> bool:
        """Run until the orders to stop, which come after a time. Return whether the end was in order."""
        running = Supervision([[name] for name in self._endings], self.metrics)
        loop = asyncio.get_running_loop()
        for _ in range(orders if stop_after_s else 0):
            loop.call_later(stop_after_s, running.ask_to_stop)
        await running.run()
        return running.is_orderly

    async def _start(self, arguments: Sequence[str]) -> PlayedProcess:
        name, lives = arguments[0], self.started[arguments[0]]
        endings = self._endings[name]
        process = PlayedProcess(endings[len(lives)] if len(lives) < len(endings) else None, self.address, self.hangs)
        lives.append(process)
        self.started_at_s[name].append(time.monotonic())
        return process


def test_a_process_that_ends_starts_again_after_growing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, first=[KILLED, Ending(1, "no broker answers", True)], second=[])
    assert asyncio.run(stage.run(stop_after_s=5 * FIRST_S))
    assert (len(stage.started["first"]), len(stage.started["second"])) == (3, 1)
    began_s = stage.started_at_s["first"]
    assert began_s[1] - began_s[0] >= FIRST_S
    assert began_s[2] - began_s[1] >= 2 * FIRST_S
    assert (stage.metrics.restarts, stage.metrics.running) == (2, 0)


def test_an_error_that_no_restart_mends_ends_all_with_its_message(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, first=[Ending(1, "no such bundle", False)], second=[])
    with pytest.raises(WorkerFailedError, match=r"^no such bundle$"):
        asyncio.run(stage.run())
    assert stage.started["second"][0].signals == [signal.SIGTERM]
    assert len(stage.started["first"]) == 1


def test_two_processes_that_fail_at_the_same_moment_give_one_message(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage = Stage(monkeypatch, first=[Ending(1, "no such bundle", False)], second=[Ending(1, "no such bundle", False)])
    with pytest.raises(WorkerFailedError, match=r"^no such bundle$"):
        asyncio.run(stage.run())
    gc.collect()  # asyncio logs the exception of a task that is collected before anybody has asked for the exception
    assert not caplog.records


def test_an_error_before_any_process_has_served_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, first=[Ending(1, "no broker answers", True)], second=[])
    stage.address = None
    with pytest.raises(WorkerFailedError, match="no broker answers"):
        asyncio.run(stage.run())


def test_a_process_that_hangs_is_killed_after_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "END_LIMIT_S", 0.1)
    stage = Stage(monkeypatch, first=[], second=[])
    stage.hangs = True
    assert not asyncio.run(stage.run(stop_after_s=0.05))
    assert stage.started["first"][0].signals == [signal.SIGTERM, signal.SIGKILL]


def test_a_second_order_to_stop_kills_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(monkeypatch, first=[], second=[])
    stage.hangs = True
    began_s = time.monotonic()
    assert not asyncio.run(stage.run(stop_after_s=0.05, orders=2))
    assert time.monotonic() - began_s < 5


def test_the_errors_after_which_a_restart_helps() -> None:
    assert restart_helps(BrokerError("no broker answers"))
    assert restart_helps(TopicRemadeError("start the worker again"))
    assert not restart_helps(SettingsError("http_port"))


def test_endings_say_what_happened() -> None:
    assert [
        str(ending) for ending in (KILLED, Ending(1, "", True), Ending(-250, "", True), Ending(1, "why", True))
    ] == [
        "ended by SIGKILL",
        "ended with exit code 1",
        "ended by signal 250",
        "ended: why",
    ]


def test_a_child_loads_the_same_modules_and_no_thread_for_each_core() -> None:
    environment = child_environment({"OMP_NUM_THREADS": "3", "PYTHONPATH": "elsewhere"}, ["/a", "/b"])
    assert environment == {"OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": "/a:/b"}
