"""How long to wait before a process that has ended is started again."""

# The session of a dead member lasts `session_timeout_s`. A process that is back earlier gets its partitions without a
# rebalance, so the first wait is short.
FIRST_S = 0.25
LONGEST_S = 30.0
WELL_AFTER_S = 60.0  # A process that ran so long has begun well, and its end is a new failure.


class Backoff:
    """Waits that double from one failure to the next. Pure: callers pass how long a process ran."""

    def __init__(self) -> None:
        self._failures = 0

    def next_wait_s(self, ran_s: float) -> float:
        """The wait before the next start. ran_s: how long the process was at work before it ended."""
        if ran_s >= WELL_AFTER_S:
            self._failures = 0
        wait_s = min(LONGEST_S, FIRST_S * 2.0**self._failures)
        self._failures += 1
        return wait_s
