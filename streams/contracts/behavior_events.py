"""The behaviour event as it arrives.

The type stands in `encoder.data.contract`, because a training holds the rows of its log to the same bounds.
"""

from encoder.data.contract.incoming_event import IncomingEvent

__all__ = ["IncomingEvent"]
