"""Follows what the consumer group of the workers has committed."""

import threading
import time

from streams.broker.topics import describe_topic
from streams.config.errors import BrokerError
from streams.config.settings import Settings

POLL_S = 0.3


class Commits(threading.Thread):
    """Polls the number of records that a consumer group has committed, until it is stopped."""

    def __init__(self, settings: Settings, topic: str, group: str) -> None:
        super().__init__(name="commits", daemon=True)
        self._source = (settings, topic, group)
        self._seen: list[tuple[float, int]] = [(time.monotonic(), 0)]  # (when, records committed)
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(POLL_S):
            try:
                committed = sum(describe_topic(*self._source).committed.values())
            except BrokerError:  # the broker is down
                continue
            if committed > self._seen[-1][1]:
                self._seen.append((time.monotonic(), committed))

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    @property
    def records(self) -> int:
        return self._seen[-1][1]

    def wait_for(self, records: int, limit_s: float = 60.0) -> None:
        """Wait until so many records are committed. Raises TimeoutError after the limit."""
        deadline = time.monotonic() + limit_s
        while self.records < records:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.records} records are committed after {limit_s:.0f} s, not {records}")
            time.sleep(POLL_S)

    def next_after(self, moment: float) -> float | None:
        """Return when the first commit after this moment was seen, or None."""
        return next((when for when, _ in self._seen if when > moment), None)

    def between(self, began: float, ended: float) -> list[tuple[float, int]]:
        """Return when commits were seen in this time, and how many records were committed then."""
        return [(when, records) for when, records in self._seen if began <= when <= ended]
