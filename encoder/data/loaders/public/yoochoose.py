"""The logs of the RecSys Challenge 2015: clicks, buys, and the prepared form in which session models read the clicks.

yoochoose-clicks.dat  session,time,item,category without a header; so is yoochoose-test.dat
yoochoose-buys.dat    session,time,item,price,quantity without a header; price and quantity 0 where unknown
prepared              SessionId, ItemId and Time in seconds, with a header and tabs between them

The first line tells which it is. There are no users apart from sessions, so the session is the user. A click's category
is 1 to 12, S for a special offer, 0 for none, or, in eight to ten digits, the brand in whose context the click was.
"""

from pathlib import Path

from encoder.data.events import BehaviorEvent
from encoder.data.loaders.delimited import Layout
from encoder.data.loaders.times import from_iso, from_seconds

_PREPARED = "SessionId\tItemId\tTime"
_BRAND_DIGITS = 8


def layout(first_line: str, path: Path) -> Layout:
    if first_line == _PREPARED:
        return Layout("\t", columns=3, user=0, event=_prepared_click, has_header=True)
    if first_line.count(",") == 4:
        return Layout(",", columns=5, user=0, event=_buy, has_header=False)
    return Layout(",", columns=4, user=0, event=_click, has_header=False)


def _click(cells: list[str], line: int) -> BehaviorEvent:
    session, time, item, category = cells
    is_brand = len(category) >= _BRAND_DIGITS
    return BehaviorEvent(
        event_id=f"yoochoose-{line}",
        user_id=session,
        item_id=item,
        action="click",
        event_time_ms=from_iso(time),
        session_id=session,
        category=None if is_brand or category in ("", "0") else category,
        attributes={"brand": category} if is_brand else None,
    )


def _buy(cells: list[str], line: int) -> BehaviorEvent:
    session, time, item, price, quantity = cells
    return BehaviorEvent(
        event_id=f"yoochoose-buys-{line}",  # a session's clicks have lines of their own
        user_id=session,
        item_id=item,
        action="purchase",
        event_time_ms=from_iso(time),
        session_id=session,
        price=float(price) or None,
        attributes={"quantity": quantity} if quantity not in ("", "0") else None,
    )


def _prepared_click(cells: list[str], line: int) -> BehaviorEvent:
    session, item, time = cells
    return BehaviorEvent(
        event_id=f"yoochoose-{line}",
        user_id=session,
        item_id=item,
        action="click",
        event_time_ms=from_seconds(time),
        session_id=session,
    )
