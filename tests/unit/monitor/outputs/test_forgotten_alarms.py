"""Alarms that fire in the topic alone end, also while records keep coming."""

import asyncio
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

    def save(self, *_: object) -> None: ...


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
