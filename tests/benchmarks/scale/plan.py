"""The runs of the benchmark in their order, and an estimate of how long they take."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

WINDOWED, UNIFORM = "windowed", "uniform"
# Rates for the estimate, on two cores that Kafka and Cassandra also use.
SENT_PER_S, VECTORS_PER_S = 70_000, 8_000
EVENT_US, ROW_US = 30, 60  # with both cores in use, one of them by the worker
WAITING_EVENTS = 128_000  # in the largest batches of four partitions; each user's row is written once for them
ACTIVE_USERS = 5_000  # in the moving window
START_S, REST_S = 8, 15  # start of a worker, and time until the services are idle before a run
EXPORT_S, EXPORT_S_PER_ITEM = 5, 1e-4
FIRST_EVENTS = 300_000  # waiting at a first start
PARTITIONS = 4
# More events are sent before and after those that are measured. At the start batches grow and a second worker joins.
# At the end a partition may be one or two batches, of up to 32,000 events each, ahead of the others.
LEAD_EVENTS, TAIL_EVENTS = 100_000, 150_000


class Run(NamedTuple):
    """A topic with an event of each user and then a stretch of events for each draw of users, read by `workers`."""

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
    """Return the time to apply events whose users are drawn from so many users."""
    rows_per_event = users / WAITING_EVENTS * (1 - math.exp(-WAITING_EVENTS / users))
    return events * (EVENT_US + ROW_US * rows_per_event) / 1e6


def runs(users: Sequence[int], items: Sequence[int]) -> Iterator[Run]:
    """Yield runs that vary users with the first number of items, then items and workers with the first of users."""
    for count in users:
        yield Run(count, items[0], 1, (WINDOWED, UNIFORM))
    for count in items[1:]:
        yield Run(users[0], count, 1, (WINDOWED,))
    yield Run(users[0], items[0], 2, (WINDOWED,))


def first_start_estimate_s(items: int) -> float:
    """Estimate the time of an export, of a first start, and of a start without work."""
    exported_s = EXPORT_S + items * EXPORT_S_PER_ITEM
    registered_s = max(items / VECTORS_PER_S, _applied_s(FIRST_EVENTS, ACTIVE_USERS))
    return REST_S + exported_s + 2 * START_S + FIRST_EVENTS / SENT_PER_S + registered_s


def estimate_s(planned: Sequence[Run], events: int) -> float:
    first = sum(first_start_estimate_s(items) for items in {run.items for run in planned})
    return first + sum(run.estimate_s(events) for run in planned)
