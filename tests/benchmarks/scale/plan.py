"""What is run, in which order, and about how long that takes."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

WINDOWED, UNIFORM = "windowed", "uniform"
# On two cores with Kafka and Cassandra on the same ones, for the estimate alone.
SENT_PER_S, FILLED_PER_S, VECTORS_PER_S = 70_000, 10_000, 8_000
APPLIED_PER_S = {WINDOWED: 25_000, UNIFORM: 10_000}
START_S, REST_S = 8, 15  # of a worker, and of services that rest before a run
EXPORT_S, EXPORT_S_PER_ITEM = 5, 1e-4
FIRST_EVENTS = 400_000  # waiting at a first start
PARTITIONS = 4
# Before the events to measure and behind them, drawn alike: before, so that batches have grown and a second worker has
# joined; behind, since a partition may be a batch or two, of up to 32,000 events, ahead of the others.
LEAD_EVENTS, TAIL_EVENTS = 150_000, 200_000


class Run(NamedTuple):
    """One topic: every user once, then a stretch of events for each way to draw users, read by `workers`."""

    users: int
    items: int
    workers: int
    draws: tuple[str, ...]

    def estimate_s(self, events: int) -> float:
        stretch = LEAD_EVENTS + events + TAIL_EVENTS
        sent_s = (self.users + stretch * len(self.draws)) / SENT_PER_S
        return (
            REST_S
            + START_S
            + sent_s
            + self.users / FILLED_PER_S
            + sum(stretch / APPLIED_PER_S[draw] for draw in self.draws)
        )


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
    registered_s = max(items / VECTORS_PER_S, FIRST_EVENTS / APPLIED_PER_S[WINDOWED])
    return REST_S + exported_s + 2 * START_S + FIRST_EVENTS / SENT_PER_S + registered_s


def estimate_s(planned: Sequence[Run], events: int) -> float:
    first = sum(first_start_estimate_s(items) for items in {run.items for run in planned})
    return first + sum(run.estimate_s(events) for run in planned)
