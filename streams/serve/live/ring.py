"""The last messages of the stream, with ids from which a client can go on. Pure."""

import re
from collections import deque
from typing import NamedTuple

_ID = re.compile(r"([0-9a-f]{1,32})-([0-9]{1,18})")


class StreamMessage(NamedTuple):
    """One message of the stream."""

    number: int
    kind: str
    data: bytes  # JSON


class Ring:
    """Keeps the last messages. An id names the ring as well, so an id of an earlier server is never mistaken."""

    def __init__(self, name: str, size: int) -> None:
        """name: hexadecimal digits that no other ring has. size: the number of messages that are kept."""
        self.name = name
        self.last = 0  # number of the newest message
        self._later: bytes | None = None  # of the newest message
        self._messages: deque[StreamMessage] = deque(maxlen=size)

    def add(self, kind: str, data: bytes, later: bytes | None = None) -> None:
        """later: what takes the place of `data` as soon as there is a newer message. None: `data` stays."""
        if self._later is not None:
            self._messages[-1] = self._messages[-1]._replace(data=self._later)
        self.last += 1
        self._later = later
        self._messages.append(StreamMessage(self.last, kind, data))

    def id_of(self, number: int) -> str:
        """The id of the message with this number. Number 0 stands before the first message."""
        return f"{self.name}-{number}"

    def number_of(self, message_id: str) -> int | None:
        """The number of a message of this ring. None: the text is no id of this ring."""
        found = _ID.fullmatch(message_id)
        if found is None or found[1] != self.name or int(found[2]) > self.last:
            return None
        return int(found[2])

    def since(self, number: int) -> list[StreamMessage] | None:
        """All messages after this one, oldest first. None: some of these messages are no longer kept."""
        if self.last - number > len(self._messages):
            return None
        return list(self._messages)[len(self._messages) - (self.last - number) :]


def framed(message_id: str, kind: str, data: bytes) -> bytes:
    """A message in the format of server-sent events. data: JSON of one line."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (message_id.encode(), kind.encode(), data)
