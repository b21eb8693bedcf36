"""The OTTO sessions in JSON Lines: each line holds one session with all events of the session.

    {"session": 42, "events": [{"aid": 0, "ts": 1661200010000, "type": "clicks"}, ...]}

Times are milliseconds. The types are clicks, carts and orders. The session is the user. Each event of a line becomes a
row of its own with the number of the line, so that an unusable event does not affect the other events.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from encoder.data.event_ids import UNNAMED
from encoder.data.loaders.row_batches import RawEvent, RowBatch, UnusableRow
from encoder.data.loaders.text.lines import numbered_lines, open_bytes

_BATCH_ROWS = 8192

_Row = tuple[bytes, RawEvent | UnusableRow]  # (raw row, fields of the event)


class _Session(msgspec.Struct, gc=False):
    session: int | str
    events: list[msgspec.Raw]


class _Event(msgspec.Struct, gc=False):
    aid: int | str
    ts: int
    type: str


# The decoder raises RecursionError when a value is nested too deeply.
_DECODING_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_decode_session = msgspec.json.Decoder(_Session).decode
_decode_event = msgspec.json.Decoder(_Event).decode


class Otto:
    """The log format of the OTTO sessions."""

    rows_are_records = False

    def batches(self, path: Path) -> Iterator[RowBatch]:
        lines: list[int] = []
        rows: list[_Row] = []
        with open_bytes(path) as file:
            for line, text in numbered_lines(file):
                new = _rows(text)
                rows += new
                lines += [line] * len(new)
                if len(rows) >= _BATCH_ROWS:
                    yield _batch(lines, rows)
                    lines, rows = [], []
        if rows:
            yield _batch(lines, rows)


def _batch(lines: list[int], rows: list[_Row]) -> RowBatch:
    return RowBatch(lines, [raw for raw, _ in rows], [event for _, event in rows])


def _rows(text: bytes) -> list[_Row]:
    try:
        session = _decode_session(text)
    except _DECODING_ERRORS as error:
        return [(text, UnusableRow(str(error)))]
    user_id = str(session.session)
    head = b'{"session":%b,"events":[' % msgspec.json.encode(session.session)
    rows: list[_Row] = []
    for number, part in enumerate(session.events, 1):
        raw = head + bytes(part) + b"]}"
        try:
            event = _decode_event(part)
        except _DECODING_ERRORS as error:
            rows.append((raw, UnusableRow(f"event {number}: {error}", user_id)))
            continue
        rows.append(
            (
                raw,
                RawEvent(
                    event_id=UNNAMED,
                    user_id=user_id,
                    item_id=str(event.aid),
                    action=event.type,
                    event_time_ms=event.ts,
                    session_id=user_id,
                ),
            )
        )
    return rows or [(text, UnusableRow("the session has no events", user_id))]
