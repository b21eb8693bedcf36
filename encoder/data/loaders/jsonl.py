"""JSON Lines of the event contract: one event a line, plain or .gz."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from encoder.data.events import BehaviorEvent
from encoder.data.loaders.rows import Batch, Unusable, line_batches, open_bytes


class _OnlyUser(msgspec.Struct):
    user_id: str


_USER_ID = re.compile(rb'"user_id"\s*:\s*"([^"\\]+)"')  # finds the user of a line that is not JSON as a whole

# nesting deeper than the decoder follows is a RecursionError
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class JsonLines:
    holds_records = True

    def batches(self, path: Path) -> Iterator[Batch]:
        decode = msgspec.json.Decoder(BehaviorEvent).decode
        first_line = 1
        with open_bytes(path) as file:
            for raw in line_batches(iter(file)):
                events: list[BehaviorEvent | Unusable] = []
                for line in raw:
                    try:
                        events.append(decode(line))
                    except _UNREADABLE as error:
                        events.append(Unusable(str(error), _user_of(line)))
                yield Batch(range(first_line, first_line + len(raw)), raw, events)
                first_line += len(raw)


def _user_of(line: bytes) -> str:
    try:
        return msgspec.json.decode(line, type=_OnlyUser).user_id
    except _UNREADABLE:
        found = _USER_ID.search(line)
        return found[1].decode(errors="replace") if found else ""
