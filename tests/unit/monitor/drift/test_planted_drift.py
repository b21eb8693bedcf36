"""A planted drift in a small simulated shop: each alarm within the stated delay, and none before.

`python -m tests.benchmarks.drift` does the same with twenty seeds and longer streams.
"""

import pytest

from tests.support.monitoring.drift_run import ALARM_OF, drift_run

EVENTS = 150_000  # of the shop's three days


@pytest.mark.parametrize("drift", ALARM_OF)
def test_a_planted_drift_raises_its_alarm_in_time_and_nothing_fires_before(drift: str) -> None:
    run = drift_run(201, drift, EVENTS)
    assert run.watched_events > 10_000
    assert run.false_alarms == []
    assert run.is_in_time, (run.delay_events, run.found)
