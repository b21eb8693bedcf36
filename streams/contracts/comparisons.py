"""The comparison of two bundles on the same events. Pure."""

from typing import Annotated

import msgspec
from msgspec import Meta

from streams.contracts.fields import Count, TimeMs

Mean = Annotated[float, Meta(ge=0, le=1, description="mean over visits of the bundle's reciprocal rank within 20")]
Difference = Annotated[float, Meta(ge=-1, le=1, description="challenger_mean minus champion_mean")]
Bound = Annotated[
    float,
    Meta(ge=-1, le=1, description="of the interval of the mean difference, which holds at every look with level"),
]


class ComparedVisits(msgspec.Struct, frozen=True, kw_only=True):
    """Both bundles on the same visits: a visit is what one user did within an hour, and counts when the hour is over.

    A value is the mean of a visit, so the means are means over visits. The means are null without visits.
    """

    visits: Annotated[int, Meta(ge=0, description="visits that are over: each is one value of the means")]
    events: Annotated[int, Meta(ge=0, description="of these visits, scored by both bundles with the user's history")]
    mean_difference: Difference | None
    low: Bound
    high: Bound
    champion_mean: Mean | None
    challenger_mean: Mean | None


class BundleComparison(ComparedVisits, frozen=True, kw_only=True):
    """Two bundles on the events that both have scored; key = champion|challenger. The last record of a key counts.

    The interval from low to high may be looked at after every record: with the probability `level`, it contains the
    true mean difference at all looks together. The interval of a slice holds for this slice alone.
    """

    champion: Annotated[str, Meta(description="bundle id")]
    challenger: Annotated[str, Meta(description="bundle id")]
    metric: Annotated[str, Meta(description="what is compared: the reciprocal rank, 0 for a rank above 20")] = "mrr@20"
    level: Annotated[float, Meta(gt=0, lt=1)] = 0.95
    users: Annotated[int, Meta(ge=0, description="of these visits; an estimate, within 1% up to five million users")]
    open_events: Annotated[int, Meta(ge=0, description="scored by both bundles in visits that are not over")]
    unmatched_events: Annotated[
        int, Meta(ge=0, description="scored by one of both bundles, and not by the other one within the limits")
    ]
    champion_unknown_items: Annotated[Count, Meta(description="events of both whose item the champion lacks: a miss")]
    challenger_unknown_items: Annotated[
        Count, Meta(description="events of both whose item the challenger lacks: a miss")
    ]
    challenger_delay_ms: (
        Annotated[
            float,
            Meta(
                description="mean over the last events of both: timestamp of the challenger's evaluation record minus "
                "that of the champion's"
            ),
        ]
        | None
    )
    first_time_ms: TimeMs | None  # event times of the first and the last event that both have scored
    last_time_ms: TimeMs | None
    published_at_ms: TimeMs
    slices: Annotated[
        dict[str, ComparedVisits],
        Meta(description="part of the events -> both bundles on it", examples=[{"action=cart": {"visits": 3}}]),
    ] = {}


def comparison_key(champion: str, challenger: str) -> str:
    """The key of a comparison. A bundle id holds no vertical bar."""
    return f"{champion}|{challenger}"
