"""What is run, in which order, and about how long that takes."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

WINDOWED, UNIFORM = "windowed", "uniform"
# On two cores with Kafka and Cassandra on the same ones, for the estimate alone.
SENT_PER_S, VECTORS_PER_S = 70_000, 8_000
EVENT_US, ROW_US = 30, 60  # of both cores, one of them the worker's
WAITING_EVENTS = 128_000  # of four partitions' largest batches: a user's row is written once for them
ACTIVE_USERS = 5_000  # of the moving window
START_S, REST_S = 8, 15  # of a worker, and of services that rest before a run
EXPORT_S, EXPORT_S_PER_ITEM = 5, 1e-4
FIRST_EVENTS = 300_000  # waiting at a first start
PARTITIONS = 4
# Before the events to measure and behind them, drawn alike: before, so that batches have grown and a second worker has
# joined; behind, since a partition may be a batch or two, of up to 32,000 events, ahead of the others.
LEAD_EVENTS, TAIL_EVENTS = 100_000, 150_000


class Run(NamedTuple):
    """One topic: every user once, then a stretch of events for each way to draw users, read by `workers`."""

    users: int
    items: int
    workers: int
    draws: tuple[str, ...]

    def estimate_s(self, events: int) -> float:
        stretch = LEAD_EVENTS + events + TAIL_EVENTS
        sent_s = (self.users + stretch * len(self.draws)) / SENT_PER_S
        filled_s = self.users * (EVENT_US + ROW_US) / 1e6
        users = {WINDOWED: min(self.users, ACTIVE_USERS), UNIFORM: self.users}
        return REST_S + START_S + sent_s + filled_s + sum(_applied_s(stretch, users[draw]) for draw in self.draws)


def _applied_s(events: int, users: int) -> float:
    """Of events whose users are drawn from so many."""
    rows_per_event = users / WAITING_EVENTS * (1 - math.exp(-WAITING_EVENTS / users))
    return events * (EVENT_US + ROW_US * rows_per_event) / 1e6


def runs(users: Sequence[int], items: Sequence[int]) -> Iterator[Run]:
    """Users vary over the first number of items, items and workers over the first number of users."""
    for count in users:
        yield Run(count, items[0], 1, (WINDOWED, UNIFORM))
    for count in items[1:]:
        yield Run(users[0], count, 1, (WINDOWED,))
    yield Run(users[0], items[0], 2, (WINDOWED,))


def first_start_estimate_s(items: int) -> float:
    """Of an export, a first start, and a start with nothing to do."""
    exported_s = EXPORT_S + items * EXPORT_S_PER_ITEM
    registered_s = max(items / VECTORS_PER_S, _applied_s(FIRST_EVENTS, ACTIVE_USERS))
    return REST_S + exported_s + 2 * START_S + FIRST_EVENTS / SENT_PER_S + registered_s


def estimate_s(planned: Sequence[Run], events: int) -> float:
    first = sum(first_start_estimate_s(items) for items in {run.items for run in planned})
    return first + sum(run.estimate_s(events) for run in planned)
