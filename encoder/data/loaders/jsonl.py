"""JSON Lines of the event contract: one event in a line, plain or compressed with gzip."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from encoder.data.events import BehaviorEvent
from encoder.data.loaders.row_batches import RowBatch, UnusableRow
from encoder.data.loaders.text_lines import line_batches, open_bytes


class _UserId(msgspec.Struct):
    user_id: str


_USER_ID = re.compile(rb'"user_id"\s*:\s*"([^"\\]+)"')  # finds the user id in a line that is not valid JSON

# The decoder raises RecursionError when a value is nested too deeply.
_DECODING_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class JsonLines:
    """The log format of JSON Lines. A line of the file is the record of its event."""

    rows_are_records = True

    def batches(self, path: Path) -> Iterator[RowBatch]:
        decode = msgspec.json.Decoder(BehaviorEvent).decode
        first_line = 1
        with open_bytes(path) as file:
            for raw in line_batches(iter(file)):
                events: list[BehaviorEvent | UnusableRow] = []
                for line in raw:
                    try:
                        events.append(decode(line))
                    except _DECODING_ERRORS as error:
                        events.append(UnusableRow(str(error), _find_user_id(line)))
                yield RowBatch(range(first_line, first_line + len(raw)), raw, events)
                first_line += len(raw)


def _find_user_id(line: bytes) -> str:
    try:
        return msgspec.json.decode(line, type=_UserId).user_id
    except _DECODING_ERRORS:
        found = _USER_ID.search(line)
        return found[1].decode(errors="replace") if found else ""
