"""Every pair of bundles that score the same events. Pure: no I/O, no clock."""

from itertools import combinations

from streams.contracts.comparisons import MAX_BUNDLES, BundleComparison
from streams.contracts.evaluation_events import EvaluationEvent
from streams.monitor.pairs.matching import Scored, Slices, WaitingEvents, are_together
from streams.monitor.pairs.pair import Pair

# A bundle without a record for so long gives its place to a further bundle. A restart of workers takes less.
SILENT_MS = 600_000


class AllPairs:
    """Of two bundles, the one that was seen first is the champion, unless the pair was chosen.

    No event waits while one bundle is alone.
    """

    def __init__(self) -> None:
        self._chosen: tuple[str, str] | None = None
        self._bundles: dict[str, int] = {}  # id -> timestamp of the last record, in the order of the first records
        self._pairs: list[Pair] = []
        self._waiting = WaitingEvents()

    def choose(self, pair: tuple[str, str] | None) -> None:
        """Compare this champion and this challenger alone; None: every pair. What is known of a pair stays."""
        self._chosen = pair
        if pair is not None:
            for bundle_id in [each for each in self._bundles if each not in pair]:
                self.drop(bundle_id)
            self._pairs = [each for each in self._pairs if (each.champion, each.challenger) == pair]
        self._complete()

    def observe(self, event: EvaluationEvent, record_ms: int, slices: Slices) -> None:
        """Take an event that a bundle scored with the user's history, once for each bundle and id.

        record_ms: timestamp of the evaluation record.
        """
        if event.bundle_id not in self._bundles and not self._admit(event.bundle_id, record_ms):
            return
        self._bundles[event.bundle_id] = max(record_ms, self._bundles[event.bundle_id])
        if len(self._bundles) < 2:
            return
        scored = Scored(event.bundle_id, event.rank, record_ms, slices)
        others = {other.bundle_id: other for other in self._waiting.match(event.id, scored, len(self._bundles))}
        for pair in self._pairs if others else ():
            other = others.get(_partner(pair, event.bundle_id))
            if other is not None and are_together(record_ms, other.record_ms):
                pair.observe(event, scored, other)
            elif other is not None:
                pair.unmatched_events += 2  # one of each bundle
        for overdue in self._waiting.overdue(record_ms):
            names = {one.bundle_id for one in overdue}
            for pair in self._pairs:
                pair.unmatched_events += (pair.champion in names) != (pair.challenger in names)

    def forget(self, bundle_id: str, user_id: str) -> None:
        """Drop the open blocks of a user whom a bundle has erased."""
        for pair in self._pairs:
            if bundle_id in (pair.champion, pair.challenger):
                pair.forget(user_id)

    def drop(self, bundle_id: str) -> None:
        """Compare a bundle no longer."""
        if bundle_id in self._bundles:
            del self._bundles[bundle_id]
            self._waiting.drop(bundle_id)
            if len(self._bundles) < 2:
                self._waiting = WaitingEvents()
            self._pairs = [pair for pair in self._pairs if bundle_id not in (pair.champion, pair.challenger)]

    def reports(self, published_at_ms: int) -> tuple[BundleComparison, ...]:
        """The comparison of each pair as of now."""
        return tuple(pair.report(published_at_ms) for pair in self._pairs)

    def _admit(self, bundle_id: str, record_ms: int) -> bool:
        """Begin to compare a bundle, in the place of the longest silent one where there are too many.

        Returns False for a bundle that was not chosen, and where no bundle is silent, such as a retired one.
        """
        if self._chosen is not None and bundle_id not in self._chosen:
            return False
        if len(self._bundles) >= MAX_BUNDLES:
            silent = min(self._bundles, key=self._bundles.__getitem__)
            if record_ms - self._bundles[silent] < SILENT_MS:
                return False
            self.drop(silent)
        self._bundles[bundle_id] = record_ms
        self._complete()
        return True

    def _complete(self) -> None:
        """Add the pairs that are missing."""
        known = [{pair.champion, pair.challenger} for pair in self._pairs]
        for champion, challenger in combinations(self._bundles, 2):
            if {champion, challenger} not in known:
                self._pairs.append(Pair(*(self._chosen or (champion, challenger))))


def _partner(pair: Pair, bundle_id: str) -> str:
    """The other bundle of a pair; "" where the bundle is not in the pair."""
    if bundle_id == pair.champion:
        return pair.challenger
    return pair.champion if bundle_id == pair.challenger else ""
