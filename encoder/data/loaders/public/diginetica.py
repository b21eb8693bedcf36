"""The Diginetica logs of the CIKM Cup 2016: train-item-views.csv and train-purchases.csv, semicolons between the cells.

Views have sessionId, userId, itemId, timeframe (milliseconds since the session's first query) and eventdate; purchases
have ordernumber as well. Copies spell the names with and without capitals and underscores.

Most sessions have no user (NA). Such a session is a user of its own, `session-<id>`: plain ids would be other users'.
"""

from pathlib import Path

from encoder.data.events import BehaviorEvent
from encoder.data.loaders.delimited import Layout, split
from encoder.data.loaders.times import from_iso, from_milliseconds
from encoder.errors import InputError

_SEPARATOR = ";"
_COLUMNS = ("sessionid", "userid", "itemid", "timeframe", "eventdate")


def layout(first_line: str, path: Path) -> Layout:
    names = [name.strip().lower().replace("_", "") for name in split(first_line, _SEPARATOR)]
    absent = [name for name in _COLUMNS if name not in names]
    if absent:
        raise InputError(
            f"{path} does not begin as a Diginetica log: found {first_line[:120]!r}, which has no column "
            f"{', '.join(absent)}; expected sessionId;userId;itemId;timeframe;eventdate"
        )
    places = [names.index(name) for name in _COLUMNS]
    action, kind = ("purchase", "diginetica-purchases") if "ordernumber" in names else ("view", "diginetica")

    def event(cells: list[str], line: int) -> BehaviorEvent:
        session, user, item, since_start_ms, date = (cells[place] for place in places)
        return BehaviorEvent(
            event_id=f"{kind}-{line}",
            user_id=f"session-{session}" if user in ("", "NA") else user,
            item_id=item,
            action=action,
            event_time_ms=from_iso(date) + from_milliseconds(since_start_ms),
            session_id=session,
        )

    return Layout(_SEPARATOR, columns=len(names), user=places[1], event=event, has_header=True)
