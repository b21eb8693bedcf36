"""The evaluation event: how well the model foresaw one event, scored before the event was applied. Pure."""

from typing import Annotated

import msgspec
from msgspec import Meta

from streams.contracts.fields import RecordId, TimeMs


class EvaluationEvent(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """How well a user's representation foresaw the next event: scored before the event was applied.

    Exactly one for every applied event, or for every one of a sample of them. A replay repeats the event, and every
    bundle that scores the event gives the same id: count each pair of bundle_id and id once. Fields with a default may
    be left out: `share` where every event is evaluated, the others without heads, and those of the time also at steps
    0.
    """

    id: RecordId
    user_id: str
    bundle_id: str
    item_id: str
    action: str
    previous_item_id: str | None
    rank: Annotated[int, Meta(ge=1, description="over the whole catalogue, ties against the model")] | None
    reciprocal_rank: Annotated[float, Meta(ge=0, le=1, description="0 where the item is not in the catalogue")]
    catalogue: Annotated[int, Meta(ge=0, description="number of items ranked")]
    steps: Annotated[int, Meta(ge=0, description="events applied before this one; 0: scored with the prior")]
    state_age_ms: Annotated[int, Meta(ge=0, description="time since the user's last event; null at steps 0")] | None
    event_time_ms: TimeMs
    action_probability: (
        Annotated[float, Meta(ge=0, le=1, description="of this action; one that the bundle does not know: of any such")]
        | None
    ) = None
    predicted_action: Annotated[str, Meta(description="the most probable one that the bundle knows")] | None = None
    time_log_likelihood: (
        Annotated[float, Meta(description="log density of state_age_ms under the distribution foreseen, per second")]
        | None
    ) = None
    time_quantile: (
        Annotated[float, Meta(ge=0, le=1, description="probability foreseen of at most state_age_ms")] | None
    ) = None
    expected_gap_ms: Annotated[int, Meta(ge=0, description="median of the distribution foreseen")] | None = None
    share: (
        Annotated[
            float,
            Meta(gt=0, le=1, description="of the events, chosen by a hash of their ids; this one stands for 1 / share"),
        ]
        | None
    ) = None
