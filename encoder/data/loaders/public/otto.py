"""The OTTO sessions in JSON Lines: one session a line, with all its events, times in milliseconds.

{"session": 42, "events": [{"aid": 0, "ts": 1661200010000, "type": "clicks"}, ...]}, types clicks, carts and orders.
The session is the user. A row is a session of one event: a line's events become as many rows with the line's number,
and an event that cannot be used costs no other.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from encoder.data.events import BehaviorEvent
from encoder.data.loaders.rows import BATCH_ROWS, Batch, Unusable, open_bytes

_Row = tuple[bytes, BehaviorEvent | Unusable]


class _Session(msgspec.Struct, gc=False):
    session: int | str
    events: list[msgspec.Raw]


class _Event(msgspec.Struct, gc=False):
    aid: int | str
    ts: int
    type: str


# nesting deeper than the decoder follows is a RecursionError
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_session = msgspec.json.Decoder(_Session).decode
_event = msgspec.json.Decoder(_Event).decode


class Otto:
    holds_records = False

    def batches(self, path: Path) -> Iterator[Batch]:
        lines: list[int] = []
        rows: list[_Row] = []
        with open_bytes(path) as file:
            for line, text in enumerate(file, 1):
                new = _rows(text.rstrip(b"\r\n"), line)
                rows += new
                lines += [line] * len(new)
                if len(rows) >= BATCH_ROWS:
                    yield _batch(lines, rows)
                    lines, rows = [], []
        if rows:
            yield _batch(lines, rows)


def _batch(lines: list[int], rows: list[_Row]) -> Batch:
    return Batch(lines, [raw for raw, _ in rows], [event for _, event in rows])


def _rows(text: bytes, line: int) -> list[_Row]:
    try:
        session = _session(text)
    except _UNREADABLE as error:
        return [(text, Unusable(str(error)))]
    user_id = str(session.session)
    head = b'{"session":%b,"events":[' % msgspec.json.encode(session.session)
    rows: list[_Row] = []
    for number, part in enumerate(session.events, 1):
        raw = head + bytes(part) + b"]}"
        try:
            event = _event(part)
        except _UNREADABLE as error:
            rows.append((raw, Unusable(f"event {number}: {error}", user_id)))
            continue
        rows.append(
            (
                raw,
                BehaviorEvent(
                    event_id=f"otto-{line}-{number}",
                    user_id=user_id,
                    item_id=str(event.aid),
                    action=event.type,
                    event_time_ms=event.ts,
                    session_id=user_id,
                ),
            )
        )
    return rows or [(text, Unusable("a session without events", user_id))]
