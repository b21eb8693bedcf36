"""Whether a worker makes progress: `streams.health.watchdog`."""

from streams.health.watchdog import SLOW_S, Progress


def test_a_worker_without_work_stays_healthy() -> None:
    progress = Progress(0.0)
    for now_s in range(0, 10_000, 100):
        progress.observe(now_s, False, "same")
        assert progress.health(now_s, 60) == "ok"


def test_work_without_progress_is_slow_and_then_stalled() -> None:
    progress = Progress(0.0)
    progress.observe(1.0, True, 1)
    progress.observe(2.0, True, 2)
    progress.observe(30.0, True, 2)
    assert progress.health(2.0 + SLOW_S - 0.1, 60) == "ok"
    assert progress.health(2.0 + SLOW_S, 60) == "slow"
    assert progress.health(62.0, 60) == "stalled"
    progress.observe(63.0, True, 3)
    assert progress.health(63.0, 60) == "ok"
