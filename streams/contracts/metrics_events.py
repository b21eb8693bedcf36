"""The metrics event: online metrics of a bundle over a window of time, beside two baselines. Pure."""

from typing import Annotated

import msgspec
from msgspec import Meta

from streams.contracts.fields import TimeMs


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The model on the events on which another scorer was scored."""

    events: Annotated[int, Meta(ge=0, description="events on which the other scorer was scored")]
    model: Annotated[dict[str, float | None], Meta(description="metric -> mean of the model over these events")]
    distance: (
        Annotated[float, Meta(ge=0, le=2, description="mean cosine distance of the frozen and the live representation")]
        | None
    ) = None


class SliceMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics over a part of the scored events."""

    events: Annotated[int, Meta(ge=0)]
    metrics: Annotated[
        dict[str, dict[str, float | None]], Meta(description="scorer (model, popularity) -> metric -> mean")
    ]


class MetricsEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Online metrics of one bundle over one stretch of time, beside two baselines scored on the same events.

    One for every stretch that had events; key = bundle_id. A restarted monitor may repeat an id: the first one counts.
    """

    id: Annotated[str, Meta(description="bundle id, length of the window in ms, start of the window")]
    bundle_id: str
    window_start_ms: TimeMs
    window_end_ms: TimeMs  # exclusive; by the timestamps of the evaluation records
    events: Annotated[int, Meta(ge=0, description="scored: of users with history (steps >= 1)")]
    unknown_items: Annotated[int, Meta(ge=0, description="of these, outside the catalogue: a miss for the model")]
    without_history: Annotated[int, Meta(ge=0, description="first events of users, not scored")]
    share: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="of all events, those that were evaluated. Below 1 `metrics` and `heads` are unbiased "
            "estimates, and the counts above divided by it estimate those of all events; the baselines learned from "
            "the sample only",
        ),
    ] = 1.0
    metrics: Annotated[
        dict[str, dict[str, float | None]],
        Meta(
            description="scorer (model, popularity, last_item) -> metric -> mean over `events`, null without any; "
            "also frozen_1h, frozen_1d and other systems by their names, each over its events in `compared`",
            examples=[{"model": {"recall@20": 0.31, "mrr@20": 0.11, "ndcg@20": 0.15}}],
        ),
    ]
    heads: Annotated[
        dict[str, float],
        Meta(
            description="metric of the model's action and time over `events`; empty without heads",
            examples=[{"action_accuracy": 0.8, "action_macro_f1": 0.4, "time_calibration_error": 0.03}],
        ),
    ] = {}
    compared: Annotated[
        dict[str, Comparison],
        Meta(description="scorer that was scored on a part of the events -> the model on exactly these events"),
    ] = {}
    slices: Annotated[
        dict[str, SliceMetrics],
        Meta(description="part of the events -> its metrics", examples=[{"action=cart": {"events": 3, "metrics": {}}}]),
    ] = {}
    predictions: Annotated[
        dict[str, dict[str, int]],
        Meta(
            description="other system -> its predictions of this window that were not scored, by reason: late, "
            "unmatched, dropped, replaced or refused"
        ),
    ] = {}
