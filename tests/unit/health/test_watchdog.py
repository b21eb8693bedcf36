import logging

from streams.config.errors import BrokerError
from streams.config.log_filters import FIRST, INTERVAL_S, Limit, one_line
from streams.health.watchdog import SLOW_S, Progress


def test_a_worker_without_work_is_well_for_ever() -> None:
    progress = Progress(0.0)
    for now_s in range(0, 10_000, 100):
        progress.seen(now_s, False, "same")
        assert progress.health(now_s, 60) == "ok"


def test_work_without_progress_is_slow_and_then_stalled() -> None:
    progress = Progress(0.0)
    progress.seen(1.0, True, 1)
    progress.seen(2.0, True, 2)
    progress.seen(30.0, True, 2)
    assert progress.health(2.0 + SLOW_S - 0.1, 60) == "ok"
    assert progress.health(2.0 + SLOW_S, 60) == "slow"
    assert progress.health(62.0, 60) == "stalled"
    progress.seen(63.0, True, 3)
    assert progress.health(63.0, 60) == "ok"


def _record(text: str, *, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = None if error is None else (type(error), error, None)
    return logging.LogRecord("client", logging.ERROR, "", 0, text, (), exc_info)


def test_the_same_message_is_logged_a_few_times_and_then_counted(monkeypatch) -> None:
    now_s = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now_s)
    limit = Limit()
    assert sum(limit.filter(_record("no broker")) for _ in range(100)) == FIRST
    assert limit.filter(_record("another"))
    now_s = INTERVAL_S
    again = _record("no broker")
    assert limit.filter(again)
    assert again.msg == f"no broker (and {100 - FIRST} more like this since)"


def test_an_error_of_ours_is_logged_without_its_traceback() -> None:
    ours, other = _record("x", error=BrokerError("gone")), _record("x", error=ValueError("bug"))
    assert one_line(ours)
    assert one_line(other)
    assert ours.exc_info is None
    assert other.exc_info is not None
