"""The behaviour event: the contract between producers of events and everything else.

This module is free of torch and of I/O; the live system and the offline encoder share it.
"""

import msgspec


class BehaviorEvent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One thing a user did. Unknown fields are ignored; an unknown item or action is not an error."""

    event_id: str
    user_id: str
    item_id: str
    action: str
    event_time_ms: int  # milliseconds since 1970-01-01 UTC
    session_id: str | None = None
    category: str | None = None
    price: float | None = None
    attributes: dict[str, str | int | float] | None = None
