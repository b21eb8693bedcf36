"""Scored events that are not later than the training log."""

from encoder.metrics.leakage import find_leak, leak_warning
from tests.support.random_log import random_log


def test_events_that_are_not_later_than_training_are_leakage() -> None:
    log = random_log()
    data = {"last_ms": int(log.time_ms[99])}
    leak = find_leak(log, data)
    assert (leak["not_later"], leak["share"]) == (100, 0.25)
    assert "LEAK: 100 of the scored events (25.0%)" in str(leak_warning(leak, "gru-1"))
    assert "of gru-1" in str(leak_warning(leak, "gru-1"))
    assert leak_warning(find_leak(log[100:], data), "gru-1") is None
    assert "UNCHECKED: gru-1" in str(leak_warning(find_leak(log, {}), "gru-1"))
