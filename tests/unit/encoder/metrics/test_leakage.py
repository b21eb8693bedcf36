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


def test_a_training_without_the_last_events_of_users_has_not_seen_them() -> None:
    log = random_log()
    last, data = log[log.later_events() == 0], {"last_ms": int(log.time_ms[-1])}
    left_out = find_leak(last, data | {"leave_out": 2}, are_last=True)
    assert (left_out["not_later"], left_out["left_out"]) == (len(last), True)
    assert leak_warning(left_out, "gru-1") is None
    assert "train with --leave-out 2" in str(leak_warning(find_leak(last, data, are_last=True), "gru-1"))
    assert "LEAK" in str(leak_warning(find_leak(log, data | {"leave_out": 2}), "gru-1"))
