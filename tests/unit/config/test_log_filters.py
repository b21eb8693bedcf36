"""Filters of log records: repeated messages and tracebacks."""

import logging

import pytest

from streams.config.errors import BrokerError
from streams.config.log_filters import INTERVAL_S, RECORDS_PER_INTERVAL, RateLimitFilter, strip_traceback


def _record(text: str, *, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, None)
    return logging.LogRecord("client", logging.ERROR, "", 0, text, (), exc_info)


def test_the_same_message_is_logged_a_few_times_and_then_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    limit = RateLimitFilter()
    assert sum(limit.filter(_record("no broker")) for _ in range(100)) == RECORDS_PER_INTERVAL
    assert limit.filter(_record("another"))
    now_s = INTERVAL_S
    again = _record("no broker")
    assert limit.filter(again)
    assert again.msg == f"no broker (and {100 - RECORDS_PER_INTERVAL} more like this since)"


def test_an_error_of_thalweg_is_logged_without_its_traceback() -> None:
    ours, other = _record("x", error=BrokerError("gone")), _record("x", error=ValueError("bug"))
    assert strip_traceback(ours)
    assert strip_traceback(other)
    assert ours.exc_info is None
    assert other.exc_info is not None
