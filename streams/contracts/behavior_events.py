"""The behaviour event as it arrives: the fields of `encoder.data.events.BehaviorEvent` with their bounds. Pure."""

from typing import Annotated

from msgspec import Meta

from encoder.data.events import BehaviorEvent
from streams.contracts.fields import Int64, OptionalText, Text, TimeMs


class IncomingEvent(BehaviorEvent, frozen=True, gc=False, kw_only=True):
    """A behaviour event with the bounds that the codec holds it to; key = user_id, UTF-8.

    Unknown fields are ignored. A record with a key and a null value is an erasure: forget this user.
    """

    event_id: Annotated[Text, Meta(description="an id among the last 8 of its user is a producer's duplicate")]
    user_id: Annotated[Text, Meta(description="equal to the record's key")]
    item_id: Text
    action: Text
    event_time_ms: Annotated[TimeMs, Meta(description="at most 24 hours after the record's timestamp")]
    session_id: OptionalText = None
    category: OptionalText = None
    price: Annotated[float, Meta(ge=0)] | None = None
    attributes: Annotated[
        dict[Text, str | Int64 | float] | None, Meta(description="whole numbers within 64 bits, with sign")
    ] = None
