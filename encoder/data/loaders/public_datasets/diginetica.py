"""The Diginetica logs of the CIKM Cup 2016: train-item-views.csv and train-purchases.csv, separated by semicolons.

Views have the columns sessionId, userId, itemId, timeframe (milliseconds since the session's first query) and
eventdate. Purchases also have the column ordernumber. Some copies of the files spell the column names without capitals
or with underscores.

Most sessions have no user (NA). Such a session becomes a user with the id `session-<id>`. The plain session id could
be the id of another user.
"""

from pathlib import Path

from encoder.data.event_ids import UNNAMED
from encoder.data.loaders.row_batches import RawEvent
from encoder.data.loaders.tables.delimited import Layout
from encoder.data.loaders.text.cells import split_cells
from encoder.data.loaders.text.times import from_iso, from_milliseconds
from encoder.errors import InputError

_SEPARATOR = ";"
_COLUMNS = ("sessionid", "userid", "itemid", "timeframe", "eventdate")


def layout(first_line: str, path: Path) -> Layout:
    """The layout of the file at `path`, which begins with `first_line`."""
    names = [name.strip().lower().replace("_", "") for name in split_cells(first_line, _SEPARATOR)]
    absent = [name for name in _COLUMNS if name not in names]
    if absent:
        raise InputError(
            f"{path} does not begin as a Diginetica log: found {first_line[:120]!r}, which has no column "
            f"{', '.join(absent)}; expected sessionId;userId;itemId;timeframe;eventdate; check the file, or name its "
            "format with --format"
        )
    positions = [names.index(name) for name in _COLUMNS]
    action = "purchase" if "ordernumber" in names else "view"

    def parse_event(cells: list[str]) -> RawEvent:
        session, user, item, since_start_ms, date = (cells[position] for position in positions)
        return RawEvent(
            event_id=UNNAMED,
            user_id=f"session-{session}" if user in ("", "NA") else user,
            item_id=item,
            action=action,
            event_time_ms=from_iso(date) + from_milliseconds(since_start_ms),
            session_id=session,
        )

    return Layout(_SEPARATOR, columns=len(names), user_column=positions[1], parse_event=parse_event, has_header=True)
