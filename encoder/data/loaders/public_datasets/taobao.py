"""The Taobao log, UserBehavior.csv, with the columns user,item,category,behavior,timestamp and without a header.

Times are seconds. The behaviours are pv (a page view), fav, cart and buy.
"""

from pathlib import Path

from encoder.data.event_ids import UNNAMED
from encoder.data.loaders.row_batches import RawEvent
from encoder.data.loaders.tables.delimited import CellFields, Layout
from encoder.data.loaders.text.times import from_seconds

_FIELDS = CellFields(
    {"user_id": 0, "item_id": 1, "category": 2, "action": 3, "event_time_ms": 4},
    time_unit="s",
)


def layout(first_line: str, path: Path) -> Layout:
    """The layout of the file at `path`, which begins with `first_line`."""
    return Layout(",", columns=5, user_column=0, parse_event=_parse_event, has_header=False, fields=_FIELDS)


def _parse_event(cells: list[str]) -> RawEvent:
    user, item, category, action, time = cells
    return RawEvent(
        event_id=UNNAMED,
        user_id=user,
        item_id=item,
        action=action,
        event_time_ms=from_seconds(time),
        category=category or None,
    )
