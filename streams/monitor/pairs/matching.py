"""Finds the evaluation events of several bundles that score the same behaviour event. Pure: no I/O, no clock."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

Slices = tuple[str, ...]
# Events that wait for another bundle, at about 330 bytes each: at 1,000 events/s, a bundle may lag by eight minutes.
MAX_WAITING = 500_000
MAX_WAITING_ALONE = 100_000  # while there is one bundle alone, in case another one begins


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

        bundles: how many bundles there are; an event that all have scored waits no longer.
        """
        name = xxh3_64_intdigest(event_id.encode())
        others = self._waiting.pop(name, ())
        if len(others) + 1 < max(2, bundles):
            self._waiting[name] = (*others, scored)
        return others

    def overdue(self, bundles: int) -> Iterable[tuple[Scored, ...]]:
        """Take out the oldest events above the limit."""
        most = MAX_WAITING if bundles > 1 else MAX_WAITING_ALONE
        while len(self._waiting) > most:
            yield self._waiting.popitem(last=False)[1]

    def drop(self, bundle_id: str) -> None:
        """Forget the scores of a bundle that is compared no longer."""
        for name, found in list(self._waiting.items()):
            kept = tuple(scored for scored in found if scored.bundle_id != bundle_id)
            if kept:
                self._waiting[name] = kept
            else:
                del self._waiting[name]
