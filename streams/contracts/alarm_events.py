"""The alarm event: a monitored figure has left its reference, or is back. Pure."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from streams.contracts.fields import TimeMs


class AlarmEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm of one bundle began (`firing`) or ended (`resolved`); key = bundle_id.

    Both events of an alarm have the same bundle_id, name, slice and starts_at_ms. Count each id once.
    """

    id: Annotated[str, Meta(description="bundle id, name, slice, starts_at_ms and state, joined by -")]
    bundle_id: str
    name: Annotated[str, Meta(description="of the figure", examples=["quality_drop", "action_mix", "item_mix"])]
    slice: Annotated[str, Meta(description="all, or the part of the events", examples=["action=cart"])] = "all"
    state: Literal["firing", "resolved"]
    starts_at_ms: TimeMs  # by the timestamps of the evaluation records, as the next field
    ends_at_ms: Annotated[TimeMs, Meta(description="null while the alarm fires")] | None = None
    value: Annotated[float, Meta(description="mean of the figure since the figure left its reference")]
    expected: Annotated[float, Meta(description="the reference: mean of the figure before the alarm")]
    detail: Annotated[str, Meta(description="one sentence for people")]


def alarm_id(bundle_id: str, name: str, slice_name: str, starts_at_ms: int, state: str) -> str:
    """The id of an alarm event."""
    return f"{bundle_id}-{name}-{slice_name}-{starts_at_ms}-{state}"
