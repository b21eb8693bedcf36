"""Whether a worker gets on, and its end where it does not.

A worker that has work and confirms none of it within a limit cannot be told from a dead one: it ends with exit code 1,
and whatever runs it starts it again. Work is what is in flight, or behind the reading position; a broker that does not
answer, and a rebalance that does not end, count as work, since nobody knows. A thread watches, since the event loop may
be what hangs.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Literal

Health = Literal["ok", "slow", "stalled"]
# Without progress for this long a worker takes no traffic (/readyz): longer than a retry of Cassandra takes.
SLOW_S = 15.0
CHECK_S = 1.0
# A stop in order takes a second; with a service away it waits for what cannot come. Whatever runs the worker kills it
# after 10 s (docker stop) to 90 s (systemd): the last words come before most of them.
STOP_LIMIT_S = 15.0


class Progress:
    """When the worker last got on. Pure: times are handed in."""

    def __init__(self, now_s: float) -> None:
        self._last_s = now_s
        self._marks: object = None

    def seen(self, now_s: float, has_work: bool, marks: object) -> None:
        """marks: whatever changes when something is confirmed."""
        if not has_work or marks != self._marks:
            self._last_s = now_s
            self._marks = marks

    def stalled_s(self, now_s: float) -> float:
        """Seconds since the last progress, 0 where there was nothing to do."""
        return now_s - self._last_s

    def health(self, now_s: float, limit_s: float) -> Health:
        stalled_s = self.stalled_s(now_s)
        return "ok" if stalled_s < min(SLOW_S, limit_s) else "slow" if stalled_s < limit_s else "stalled"


class Watchdog:
    """A thread that ends the process where progress stops, or where a stop takes too long.

    It watches until the process is gone: the last of a stop, such as leaving the group, can hang as well.
    """

    def __init__(self, limit_s: float, unconfirmed: Callable[[], int]) -> None:
        """unconfirmed: how many batches are in flight, for the last words."""
        self.limit_s = limit_s
        self.progress = Progress(time.monotonic())
        self._unconfirmed = unconfirmed
        self._stopping_since_s: float | None = None

    def start(self) -> None:
        self.progress = Progress(time.monotonic())
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stopping(self) -> None:
        """The worker has been asked to stop, or fails: it has STOP_LIMIT_S, whatever it is doing."""
        if self._stopping_since_s is None:
            self._stopping_since_s = time.monotonic()

    def health(self) -> Health:
        return self.progress.health(time.monotonic(), self.limit_s)

    def _watch(self) -> None:
        while True:
            time.sleep(CHECK_S)
            now_s = time.monotonic()
            if self._stopping_since_s is not None:
                if now_s - self._stopping_since_s > STOP_LIMIT_S:
                    self._end(f"could not stop in order within {STOP_LIMIT_S:.0f} s")
            elif self.progress.stalled_s(now_s) >= self.limit_s:
                self._end(f"has work and confirmed none for {self.limit_s:.0f} s")

    def _end(self, why: str) -> None:
        print(
            f"thalweg worker: {why}; {self._unconfirmed()} batches are not confirmed, they are read again: "
            "are Kafka and Cassandra there?",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)
