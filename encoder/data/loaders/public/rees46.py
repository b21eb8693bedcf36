"""The REES46 multi-category store log in its original nine-column CSV.

https://rees46.com/en/datasets: event_time,event_type,product_id,category_id,category_code,brand,price,user_id,
user_session, where category_code, brand, price and user_session may be empty.
"""

from pathlib import Path

from encoder.data.events import BehaviorEvent
from encoder.data.loaders.delimited import Layout, check_header
from encoder.data.loaders.times import from_iso

_HEADER = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"


def layout(first_line: str, path: Path) -> Layout:
    check_header(first_line.strip(), _HEADER, path, "REES46")
    return Layout(",", columns=9, user=7, event=_event, has_header=True)


def _event(cells: list[str], line: int) -> BehaviorEvent:
    time, action, product, category_id, category_code, brand, price, user, session = cells
    attributes: dict[str, str | int | float] = {}
    if category_id:
        attributes["category_id"] = category_id
    if brand:
        attributes["brand"] = brand
    return BehaviorEvent(
        event_id=f"rees46-{line}",
        user_id=user,
        item_id=product,
        action=action,
        event_time_ms=from_iso(time),
        session_id=session or None,
        category=category_code or None,
        price=float(price) if price else None,
        attributes=attributes or None,
    )
