"""The logs of the RecSys Challenge 2015: clicks, purchases, and clicks in the prepared form that session models read.

yoochoose-clicks.dat  session,time,item,category without a header; yoochoose-test.dat has the same columns
yoochoose-buys.dat    session,time,item,price,quantity without a header; an unknown price or quantity is 0
prepared              SessionId, ItemId and Time in seconds, separated by tabs, with a header

The first line decides which file it is. The logs have no users, so the session is the user. The category of a click is
1 to 12, S for a special offer, or 0 for none. A category with eight to ten digits is the brand in whose context the
click was.
"""

from pathlib import Path

from encoder.data.event_ids import UNNAMED
from encoder.data.loaders.row_batches import RawEvent
from encoder.data.loaders.tables.delimited import CellFields, Layout
from encoder.data.loaders.text.numbers import float_or_text
from encoder.data.loaders.text.times import from_iso, from_seconds

_PREPARED = "SessionId\tItemId\tTime"
_PREPARED_FIELDS = CellFields(
    {"user_id": 0, "item_id": 1, "event_time_ms": 2, "session_id": 0}, time_unit="s", action="click"
)
_BRAND_DIGITS = 8


def layout(first_line: str, path: Path) -> Layout:
    """The layout of the file at `path`, which begins with `first_line`."""
    if first_line == _PREPARED:
        return Layout(
            "\t", 3, user_column=0, parse_event=_parse_prepared_click, has_header=True, fields=_PREPARED_FIELDS
        )
    if first_line.count(",") == 4:
        return Layout(",", columns=5, user_column=0, parse_event=_parse_purchase, has_header=False)
    return Layout(",", columns=4, user_column=0, parse_event=_parse_click, has_header=False)


def _parse_click(cells: list[str]) -> RawEvent:
    session, time, item, category = cells
    is_brand = len(category) >= _BRAND_DIGITS
    return RawEvent(
        event_id=UNNAMED,
        user_id=session,
        item_id=item,
        action="click",
        event_time_ms=from_iso(time),
        session_id=session,
        category=None if is_brand or category in ("", "0") else category,
        attributes={"brand": category} if is_brand else None,
    )


def _parse_purchase(cells: list[str]) -> RawEvent:
    session, time, item, price, quantity = cells
    return RawEvent(
        event_id=UNNAMED,
        user_id=session,
        item_id=item,
        action="purchase",
        event_time_ms=from_iso(time),
        session_id=session,
        price=float_or_text(price) or None,
        attributes={"quantity": quantity} if quantity not in ("", "0") else None,
    )


def _parse_prepared_click(cells: list[str]) -> RawEvent:
    session, item, time = cells
    return RawEvent(
        event_id=UNNAMED,
        user_id=session,
        item_id=item,
        action="click",
        event_time_ms=from_seconds(time),
        session_id=session,
    )
