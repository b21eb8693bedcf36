"""The behaviour event as it arrives: the fields of `encoder.data.events.BehaviorEvent` with their bounds."""

from typing import Annotated

from msgspec import Meta

from encoder.data.events import BehaviorEvent

# Characters of an id, an action or a category. A user_id of this length in any alphabet fits a Cassandra key (64 KiB).
MAX_TEXT = 512
MAX_VALUE_BYTES = 256 * 1024  # largest JSON of an event; the record and each of its outputs then fit every topic
# An event time may lie this far after the timestamp of its record: some producers have a wrong clock or time zone.
MAX_AHEAD_MS = 86_400_000
MAX_TIME_MS = 253_402_300_799_999  # the last millisecond of the year 9999
MIN_INT64, MAX_INT64 = -(2**63), 2**63 - 1

Text = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]
OptionalText = Annotated[str, Meta(max_length=MAX_TEXT)] | None
TimeMs = Annotated[int, Meta(ge=0, le=MAX_TIME_MS, description="milliseconds since 1970-01-01 UTC")]
Int64 = Annotated[int, Meta(ge=MIN_INT64, le=MAX_INT64)]


class IncomingEvent(BehaviorEvent, frozen=True, gc=False, kw_only=True):
    """A behaviour event with its bounds; key = user_id, UTF-8.

    Unknown fields are ignored. An optional field or an attribute that breaks its bounds is left out of the event. A
    record with a key and a null value is an erasure: forget this user.
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


REQUIRED_FIELDS = ("event_id", "user_id", "item_id", "action", "event_time_ms")
