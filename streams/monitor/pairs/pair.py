"""One pair of bundles on the events that both have scored. Pure: no I/O, no clock."""

import msgspec

from streams.contracts.comparisons import BundleComparison, ComparedEvents
from streams.contracts.evaluation_events import EvaluationEvent
from streams.monitor.pairs.betting_sequence import LEVEL, BettingSequence, intervals
from streams.monitor.pairs.distinct_users import DistinctUsers
from streams.monitor.pairs.matching import Scored
from streams.monitor.pairs.user_blocks import BLOCK_EVENTS, EVERYTHING, OpenBlocks, Sums, UserBlock

LARGEST_RANK = 20
DELAY_EVENTS = 1_000  # the mean delay is over about so many events


class Compared:
    """The blocks that are over, or their parts in one slice."""

    __slots__ = ("_block_events", "challenger", "champion", "events", "sequence")

    def __init__(self, block_events: int = BLOCK_EVENTS) -> None:
        self._block_events = block_events
        self.events = 0
        self.champion = 0.0  # sum of the reciprocal ranks
        self.challenger = 0.0
        self.sequence = BettingSequence()  # of the blocks' differences, each divided by the largest number of events

    def add(self, sums: Sums) -> None:
        """Add a block."""
        self.events += sums.events
        self.champion += sums.champion
        self.challenger += sums.challenger
        self.sequence.add((sums.challenger - sums.champion) / self._block_events)

    def report(self, low: float, high: float) -> ComparedEvents:
        """low, high: the interval of the mean of the sequence."""
        blocks, events = self.sequence.n, self.events
        scale = self._block_events * blocks / events if events else 1.0  # from the mean of a block to that of an event
        champion, challenger = self.champion / max(1, events), self.challenger / max(1, events)
        return ComparedEvents(
            user_blocks=blocks,
            events=events,
            mean_difference=challenger - champion if events else None,
            low=max(-1.0, scale * low),
            high=min(1.0, scale * high),
            champion_mean=champion if events else None,
            challenger_mean=challenger if events else None,
        )


class Pair:
    """A champion and a challenger."""

    def __init__(self, champion: str, challenger: str) -> None:
        self.champion = champion
        self.challenger = challenger
        self.unmatched_events = 0
        self._open = OpenBlocks()
        self._users = DistinctUsers()
        self._compared: dict[str, Compared] = {EVERYTHING: Compared()}  # and one for each slice
        self._unknown_items = [0, 0]  # of the champion and of the challenger
        self._events = 0
        self._delay_ms = 0.0
        self._times_ms: tuple[int, int] | None = None  # of the first and of the last event
        self._last_scored_at_ms: int | None = None

    def observe(self, event: EvaluationEvent, one: Scored, other: Scored) -> None:
        """Compare both scores of an event, which the two bundles have given in any order."""
        champion, challenger = (one, other) if one.bundle_id == self.champion else (other, one)
        # A producer's clock may be ahead, and the record of the evaluation then tells a better time.
        time_ms = min(event.event_time_ms, champion.record_ms, challenger.record_ms)
        self._times_ms = (self._times_ms[0] if self._times_ms else time_ms, time_ms)
        self._last_scored_at_ms = min(champion.record_ms, challenger.record_ms)
        self._events += 1
        delay_ms = challenger.record_ms - champion.record_ms
        self._delay_ms += (delay_ms - self._delay_ms) / min(self._events, DELAY_EVENTS)
        for place, scored in enumerate((champion, challenger)):
            self._unknown_items[place] += scored.rank is None
        ended = self._open.add(
            event.user_id, time_ms, reciprocal(champion.rank), reciprocal(challenger.rank), champion.slices
        )
        for block in ended:
            self._count(block)

    def forget(self, user_id: str) -> None:
        """Drop what is kept about a user who was erased. Sums over blocks that are over name nobody."""
        self._open.forget(user_id)

    def report(self, published_at_ms: int) -> BundleComparison:
        """The comparison as of now."""
        found = dict(sorted(self._compared.items()))
        bounds = intervals([compared.sequence for compared in found.values()])
        slices = {name: compared.report(*bound) for (name, compared), bound in zip(found.items(), bounds, strict=True)}
        return BundleComparison(
            **msgspec.structs.asdict(slices.pop(EVERYTHING)),
            champion=self.champion,
            challenger=self.challenger,
            level=LEVEL,
            users=self._users.count,
            open_events=self._open.events,
            unmatched_events=self.unmatched_events,
            champion_unknown_items=self._unknown_items[0],
            challenger_unknown_items=self._unknown_items[1],
            challenger_delay_ms=self._delay_ms if self._events else None,
            first_time_ms=self._times_ms[0] if self._times_ms else None,
            last_time_ms=self._times_ms[1] if self._times_ms else None,
            last_scored_at_ms=self._last_scored_at_ms,
            published_at_ms=published_at_ms,
            slices=slices,
        )

    def _count(self, block: UserBlock) -> None:
        self._users.add(block.user_id)
        for name, sums in block.sums.items():
            compared = self._compared.get(name)
            if compared is None:
                compared = self._compared[name] = Compared()
            compared.add(sums)


def reciprocal(rank: int | None) -> float:
    """The reciprocal rank within LARGEST_RANK: 0 for a worse rank and for an item outside the catalogue."""
    return 1 / rank if rank is not None and rank <= LARGEST_RANK else 0.0
