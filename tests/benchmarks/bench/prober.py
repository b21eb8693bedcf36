"""Measures from outside how old an event is when the changed row of its user can be read.

A process of its own sends an event of a probe user at a steady rate, and reads the rows of all probe users that wait
until each row has changed. The time from the send to the end of the read that shows the change is the freshness. The
prober knows a contender's topic, table and one column that each event changes, and nothing else of the contender.
"""

import sys
import time
from itertools import count
from typing import Any

import msgspec
from kafka import KafkaProducer

from streams.config.settings import Settings
from streams.store.session import Session

PROBES_PER_S = 20
USERS = 400  # so many probe users take turns, so a row is known long before its user's turn comes again
POLL_S, BUSY_POLL_S, BUSY = 0.002, 0.005, 4  # with BUSY probes that wait, the prober reads less often
LAST_S = 10.0  # at the end, probes that still wait are read for so long, and then count with the time that has passed


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where the prober sends events, and where it reads rows."""

    broker: str
    cassandra: str
    topic: str
    table: str
    column: str  # a number that each event of a user changes
    time_field: str
    bundle_id: str | None = None  # of the rows to read, where a user has a row for each bundle
    warm_s: float  # probes of the first seconds are sent, and do not count
    seconds: float  # of the probes that count


class Prober:
    """Sends probes, and reads rows."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._session = Session(Settings(broker=target.broker, cassandra=target.cassandra, bundle=""))
        where = "" if target.bundle_id is None else " AND bundle_id = ?"
        query = f"SELECT user_id, {target.column} FROM {target.table} WHERE user_id IN ?{where}"
        self._select = self._session.prepare(query)
        self._producer = KafkaProducer(bootstrap_servers=target.broker, linger_ms=0, acks=1)
        self._numbers = count()
        self._sent_s: dict[str, float] = {}  # when the probe that waits was sent, by user
        self._seen: dict[str, int] = {}  # the column's last value, by probe user
        for begin in range(0, USERS, 100):
            self._seen |= dict(self._rows([f"probe-{number}" for number in range(begin, begin + 100)]))

    def run(self) -> list[float]:
        """The freshness of each probe that counts, in ms."""
        found: list[float] = []
        begin_s = time.perf_counter()
        counts_from_s, end_s = begin_s + self._target.warm_s, begin_s + self._target.warm_s + self._target.seconds
        due_s = begin_s
        while (now_s := time.perf_counter()) < end_s or (self._sent_s and now_s < end_s + LAST_S):
            if due_s <= now_s < end_s:
                self._send()
                due_s += 1 / PROBES_PER_S
            found += [(read - sent) * 1000 for sent, read in self._changed() if sent >= counts_from_s]
            time.sleep(POLL_S if len(self._sent_s) < BUSY else BUSY_POLL_S)
        late_s = time.perf_counter()
        found += [(late_s - sent) * 1000 for sent in self._sent_s.values() if sent >= counts_from_s]
        self._producer.close()
        self._session.close()
        return found

    def _send(self) -> None:
        number = next(self._numbers)
        user = f"probe-{number % USERS}"
        if user in self._sent_s:
            return
        value = {
            "event_id": f"{time.time_ns()}",
            "user_id": user,
            "item_id": f"item-{number % 1000}",
            "action": "view",
            self._target.time_field: int(time.time() * 1000),
        }
        self._sent_s[user] = time.perf_counter()
        self._producer.send(self._target.topic, key=user.encode(), value=msgspec.json.encode(value))

    def _changed(self) -> list[tuple[float, float]]:
        """When each probe was sent whose row has changed, and when the row was read."""
        if not self._sent_s:
            return []
        rows = self._rows(list(self._sent_s))
        read_s, found = time.perf_counter(), []
        for user, value in rows:
            if value != self._seen.get(user):
                self._seen[user] = value
                found.append((self._sent_s.pop(user), read_s))
        return found

    def _rows(self, users: list[str]) -> list[tuple[str, int]]:
        """Each user that has a row, with the value of the column."""
        keys: list[Any] = [users] if self._target.bundle_id is None else [users, self._target.bundle_id]
        return list(self._session.execute("read probes", self._select, keys))


if __name__ == "__main__":
    print(msgspec.json.encode(Prober(msgspec.json.decode(sys.argv[1], type=Target)).run()).decode())
