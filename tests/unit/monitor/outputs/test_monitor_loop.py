"""When a monitor ends alarms that fire in the topic alone, and the order in which a monitor stops."""

import asyncio
import contextlib
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from streams.config.settings import Settings
from streams.monitor.inputs import Extras
from streams.monitor.monitor import Monitor


class BusyInputs:
    """Every poll returns a record, and there is always one more."""

    is_caught_up = False
    is_past_start = False

    async def poll(self) -> list[object]:
        return [object()]

    def score(self, *_: object) -> list[object]:
        return []

    def save(self, *_: object, now: bool = False) -> None: ...


@pytest.mark.parametrize("is_past_start", [False, True])
def test_a_busy_monitor_asks_for_the_end_of_forgotten_alarms_once_it_has_read_what_was_there(
    is_past_start: bool,
) -> None:
    monitor: Any = Monitor(Settings(), "evaluation", extras=Extras())
    monitor._inputs = BusyInputs()
    monitor._inputs.is_past_start = is_past_start
    times: list[int | None] = []

    async def publish(ended: object, scoreboards: object, now_ms: int | None) -> None:
        times.append(now_ms)

    monitor._outputs = SimpleNamespace(publish=publish)
    assert asyncio.run(monitor._score_next_records())
    assert [time_ms is not None for time_ms in times] == [is_past_start]


@pytest.mark.parametrize("fails", [False, True])
def test_the_outputs_stop_before_another_monitor_can_take_the_state(fails: bool) -> None:
    monitor: Any = Monitor(Settings(), "evaluation", extras=Extras())
    steps: list[str] = []

    async def start(*_: object) -> object:
        return monitor._scoreboards

    async def stop_outputs() -> None:
        steps.append("outputs")
        if fails:
            raise OSError("the last post fails")

    async def stop_inputs() -> None:
        steps.append("inputs")

    inputs: Any = BusyInputs()
    inputs.start, inputs.stop, inputs.lag, inputs.expired = start, stop_inputs, 0, 0
    monitor._inputs = inputs
    monitor._outputs = SimpleNamespace(start=start, stop=stop_outputs)
    stop = threading.Event()
    stop.set()
    with pytest.raises(OSError, match="last post") if fails else contextlib.nullcontext():
        asyncio.run(monitor.run(stop))
    assert steps == ["outputs", "inputs"]
