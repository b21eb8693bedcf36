"""Finds the evaluation events of several bundles that score the same behaviour event. Pure: no I/O, no clock."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

Slices = tuple[str, ...]
# An event counts for two bundles that score it within this time of each other, by the timestamps of their records. The
# workers of a new bundle also score old events of the topic, with which the model may be trained, and the other bundle
# has scored these events long before. A restart or a rebalance of workers delays a bundle by less.
WITHIN_MS = 300_000
MAX_WAITING = 500_000  # at about 330 bytes each; enough for 1,600 events/s


class Scored(NamedTuple):
    """What a pair needs of one bundle's evaluation event."""

    bundle_id: str
    rank: int | None  # over the bundle's catalogue; None for an item outside the catalogue
    record_ms: int  # timestamp of the evaluation record
    slices: Slices


class WaitingEvents:
    """The events that some of the bundles have scored, in bounded number. The oldest leave first.

    An event is known by a 64-bit hash of its id. An event has the hash of another one that waits with a probability of
    3e-14.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[int, tuple[Scored, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def match(self, event_id: str, scored: Scored, bundles: int) -> tuple[Scored, ...]:
        """Add a bundle's score of an event, once for each bundle and id. Returns what other bundles have scored so far.

        bundles: how many bundles there are, 2 at least; an event that all have scored waits no longer.
        """
        name = xxh3_64_intdigest(event_id.encode())
        others = self._waiting.pop(name, ())
        if len(others) + 1 < bundles:
            self._waiting[name] = (*others, scored)
        return others

    def overdue(self, now_ms: int) -> Iterable[tuple[Scored, ...]]:
        """Take out the events that have waited for WITHIN_MS, and the oldest ones above the limit.

        now_ms: timestamp of the record that is read.
        """
        while self._waiting:
            oldest = next(iter(self._waiting.values()))
            if len(self._waiting) <= MAX_WAITING and oldest[-1].record_ms >= now_ms - WITHIN_MS:
                break
            yield self._waiting.popitem(last=False)[1]

    def drop(self, bundle_id: str) -> None:
        """Forget the scores of a bundle that is compared no longer."""
        for name, found in list(self._waiting.items()):
            kept = tuple(scored for scored in found if scored.bundle_id != bundle_id)
            if kept:
                self._waiting[name] = kept
            else:
                del self._waiting[name]


def are_together(one_ms: int, other_ms: int) -> bool:
    """Whether two timestamps are within WITHIN_MS of each other."""
    return abs(one_ms - other_ms) <= WITHIN_MS
