"""Whether a worker makes progress, and a thread that ends the worker when it does not.

A worker that has work and confirms none of it within a limit cannot be told from a dead worker. Such a worker ends
with exit code 1, and its supervisor starts it again. Records in flight are work, and so are records that wait in the
topic. A broker that does not answer and a rebalance that does not end count as work too, because nobody knows whether
records wait. A thread watches, because the event loop itself may hang.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Literal

Health = Literal["ok", "slow", "stalled"]
# After this time without progress, /readyz fails. A retry of Cassandra takes less: docs/decisions.md#time-limits
SLOW_S = 15.0
CHECK_INTERVAL_S = 1.0
# A regular stop takes a second, but without Kafka or Cassandra it can wait for ever. Most supervisors kill a process
# later than this, so the worker can still say what it waits for: docs/decisions.md#time-limits
STOP_LIMIT_S = 15.0


class Progress:
    """When the worker last made progress. Pure: callers pass the time."""

    def __init__(self, now_s: float) -> None:
        self._last_s = now_s
        self._confirmed: object = None

    def observe(self, now_s: float, has_work: bool, confirmed: object) -> None:
        """Take in the present state. `confirmed` is any value that changes whenever the worker confirms something."""
        if not has_work or confirmed != self._confirmed:
            self._last_s = now_s
            self._confirmed = confirmed

    def stalled_s(self, now_s: float) -> float:
        """Seconds since the last progress. A worker without work counts as making progress."""
        return now_s - self._last_s

    def health(self, now_s: float, limit_s: float) -> Health:
        """`slow` after SLOW_S without progress, `stalled` after `limit_s`."""
        stalled_s = self.stalled_s(now_s)
        return "ok" if stalled_s < min(SLOW_S, limit_s) else "slow" if stalled_s < limit_s else "stalled"


class Watchdog:
    """A thread that ends the process when progress stops, or when a stop takes longer than STOP_LIMIT_S.

    The thread watches until the process is gone, because the last steps of a stop (such as leaving the consumer group)
    can hang too.
    """

    def __init__(self, limit_s: float, unconfirmed: Callable[[], int]) -> None:
        """unconfirmed: returns the number of micro-batches in flight, for the last message."""
        self.limit_s = limit_s
        self.progress = Progress(time.monotonic())
        self._unconfirmed = unconfirmed
        self._stopping_since_s: float | None = None

    def start(self) -> None:
        """Start the thread. Progress counts from now on."""
        self.progress = Progress(time.monotonic())
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def watch_stop(self) -> None:
        """Call this method when the worker begins to stop or fails. The process then ends within STOP_LIMIT_S."""
        if self._stopping_since_s is None:
            self._stopping_since_s = time.monotonic()

    def health(self) -> Health:
        """The health of the worker now."""
        return self.progress.health(time.monotonic(), self.limit_s)

    def _watch(self) -> None:
        while True:
            time.sleep(CHECK_INTERVAL_S)
            now_s = time.monotonic()
            if self._stopping_since_s is not None:
                if now_s - self._stopping_since_s > STOP_LIMIT_S:
                    self._end_process(f"could not stop in order within {STOP_LIMIT_S:.0f} s")
            elif self.progress.stalled_s(now_s) >= self.limit_s:
                self._end_process(f"has work and confirmed none for {self.limit_s:.0f} s")

    def _end_process(self, reason: str) -> None:
        print(
            f"thalweg worker: {reason}; {self._unconfirmed()} micro-batches are not confirmed and will be read again; "
            "check that Kafka and Cassandra answer",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)
