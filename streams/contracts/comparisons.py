"""The comparison of two bundles on the same events. Pure."""

from typing import Annotated, Self

import msgspec
from msgspec import Meta

from streams.contracts.fields import Count, TimeMs

MAX_BUNDLES = 4  # that a monitor compares; so six pairs

Mean = Annotated[float, Meta(ge=0, le=1, description="of the bundle's metric over these events; null without events")]
Difference = Annotated[float, Meta(ge=-1, le=1, description="challenger_mean minus champion_mean")]
Bound = Annotated[float, Meta(ge=-1, le=1, description="of the mean difference; holds at every look")]


class ComparedEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Both bundles on the same events, which count in blocks: up to five events that one user causes within an hour.

    A block counts when the block is over.
    """

    user_blocks: Annotated[int, Meta(ge=0, description="blocks that are over: the values behind the interval")]
    events: Annotated[int, Meta(ge=0, description="of these blocks, scored by both bundles with the user's history")]
    mean_difference: Difference | None
    low: Bound
    high: Bound
    champion_mean: Mean | None
    challenger_mean: Mean | None

    def reversed_sides(self) -> Self:
        """The same events with the champion and the challenger swapped. Lows and highs swap as well, negated."""
        return msgspec.structs.replace(
            self,
            mean_difference=None if self.mean_difference is None else -self.mean_difference,
            low=-self.high,
            high=-self.low,
            champion_mean=self.challenger_mean,
            challenger_mean=self.champion_mean,
        )


class BundleComparison(ComparedEvents, frozen=True, kw_only=True):
    """Two bundles on the events that both have scored; key = champion|challenger. The last record of a key counts.

    The interval from low to high may be looked at after every record: with the probability `level`, it contains the
    expected difference of the events so far at all looks together. The interval of a slice holds for this slice alone.
    """

    champion: Annotated[str, Meta(description="bundle id")]
    challenger: Annotated[str, Meta(description="bundle id")]
    metric: Annotated[str, Meta(description="what is compared: the reciprocal rank, 0 for a rank above 20")] = "mrr@20"
    level: Annotated[float, Meta(gt=0, lt=1)] = 0.95
    users: Annotated[int, Meta(ge=0, description="of these blocks; an estimate, within 1% up to five million users")]
    open_events: Annotated[int, Meta(ge=0, description="scored by both bundles, in blocks that are not over")]
    unmatched_events: Annotated[
        int, Meta(ge=0, description="scores of one of both without a score of the other one within five minutes")
    ]
    champion_unknown_items: Annotated[Count, Meta(description="events of both whose item the champion lacks: a miss")]
    challenger_unknown_items: Annotated[
        Count, Meta(description="events of both whose item the challenger lacks: a miss")
    ]
    challenger_delay_ms: (
        Annotated[
            float,
            Meta(
                description="timestamp of the challenger's evaluation record minus that of the champion's for the same "
                "event, mean over about the last 1,000 events"
            ),
        ]
        | None
    )
    first_time_ms: Annotated[TimeMs, Meta(description="event time of the first event that both have scored")] | None
    last_time_ms: Annotated[TimeMs, Meta(description="event time of the last event that both have scored")] | None
    last_scored_at_ms: (
        Annotated[
            TimeMs,
            Meta(
                description="timestamp of the evaluation records of the last event that both have scored, the earlier "
                "of the two; null without events"
            ),
        ]
        | None
    ) = None  # which an earlier version does not write
    published_at_ms: TimeMs
    slices: Annotated[
        dict[str, ComparedEvents],
        Meta(description="part of the events -> both bundles on it", examples=[{"action=cart": {"events": 3}}]),
    ] = {}

    def reversed_sides(self) -> Self:
        """As for ComparedEvents, also in each slice."""
        return msgspec.structs.replace(
            super().reversed_sides(),
            champion=self.challenger,
            challenger=self.champion,
            champion_unknown_items=self.challenger_unknown_items,
            challenger_unknown_items=self.champion_unknown_items,
            challenger_delay_ms=None if self.challenger_delay_ms is None else -self.challenger_delay_ms,
            slices={name: part.reversed_sides() for name, part in self.slices.items()},
        )


def comparison_key(champion: str, challenger: str) -> str:
    """The key of a comparison. A bundle id holds no vertical bar."""
    return f"{champion}|{challenger}"
