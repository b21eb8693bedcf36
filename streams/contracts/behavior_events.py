"""The behaviour event as it arrives, and the header of an erasure.

The type of the event stands in `encoder.data.contract`, because a training holds the rows of its log to the same
bounds.
"""

from encoder.data.contract.incoming_event import IncomingEvent

__all__ = ["ERASE_HEADER", "IncomingEvent"]

# A record with a null value and this Kafka header is an erasure of the user whom the header names in UTF-8, also where
# a mapping does not take the record's key for the user. `thalweg erase` sets the header.
ERASE_HEADER = "thalweg-erase"
