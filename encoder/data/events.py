"""The behaviour event, which is the contract between the producers of events and Thalweg.

The live system and the offline encoder share this module. The module needs neither torch nor I/O.
"""

import msgspec


class BehaviorEvent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One action of a user on an item. Decoders ignore unknown fields. An unknown item or action is not an error."""

    event_id: str
    user_id: str
    item_id: str
    action: str
    event_time_ms: int  # milliseconds since 1970-01-01 UTC
    session_id: str | None = None
    category: str | None = None
    price: float | None = None
    attributes: dict[str, str | int | float] | None = None
