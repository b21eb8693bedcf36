"""Ids for the events of a log that has no event ids, made of the events themselves. This module is pure.

An id is `<source>-<16 hexadecimal digits>`. The digits are a hash of user, item, action and time. The source of a file
is its format. An event therefore has the same id in every file of one format, and other events have other ids. Equal
events of one log differ by a number: the second one is `<source>-<16 hexadecimal digits>-2`.
"""

from hashlib import blake2b

import msgspec

# Stands in the place of an id until the event's id is made. No made id is longer, so the judge of the event contract
# never sees a record smaller than the final record.
UNNAMED = "unnamed".ljust(48, "-")
HASH_BYTES = 8  # An id must only differ from the other ids of its user.


def content_id(source: str, user_id: str, item_id: str, action: str, time_ms: int) -> str:
    """The id of an event, without the number that tells equal events apart."""
    content = msgspec.json.encode((user_id, item_id, action, time_ms))
    return f"{source}-{blake2b(content, digest_size=HASH_BYTES).hexdigest()}"


class EqualEvents:
    """Numbers the equal events of a log, which must be passed in order of time.

    Equal events have equal times, so only the ids of the latest time are kept.
    """

    def __init__(self) -> None:
        self._time_ms = -1
        self._counts: dict[str, int] = {}

    def unique_id(self, content_id: str, time_ms: int) -> str:
        """The id of the next event in order of time: the `content_id`, with a number from the second equal event on."""
        if time_ms != self._time_ms:
            self._time_ms = time_ms
            self._counts.clear()
        number = self._counts[content_id] = self._counts.get(content_id, 0) + 1
        return content_id if number == 1 else f"{content_id}-{number}"
