"""The REES46 log of a multi-category store, as CSV with nine columns. Source: https://rees46.com/en/datasets.

The columns are event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session. The cells
of category_code, brand, price and user_session may be empty.
"""

from pathlib import Path

from encoder.data.event_ids import UNNAMED
from encoder.data.loaders.row_batches import RawEvent
from encoder.data.loaders.tables.delimited import CellFields, Layout, check_header
from encoder.data.loaders.text.numbers import float_or_text
from encoder.data.loaders.text.times import from_iso

_HEADER = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session"

_FIELDS = CellFields(
    {
        "event_time_ms": 0,
        "action": 1,
        "item_id": 2,
        "attributes.category_id": 3,
        "category": 4,
        "attributes.brand": 5,
        "price": 6,
        "user_id": 7,
        "session_id": 8,
    },
    time_unit="iso",
)


def layout(first_line: str, path: Path) -> Layout:
    """The layout of the file at `path`, which begins with `first_line`."""
    check_header(first_line.strip(), _HEADER, path, "REES46")
    return Layout(",", columns=9, user_column=7, parse_event=_parse_event, has_header=True, fields=_FIELDS)


def _parse_event(cells: list[str]) -> RawEvent:
    time, action, product, category_id, category_code, brand, price, user, session = cells
    attributes: dict[str, str | int | float] = {}
    if category_id:
        attributes["category_id"] = category_id
    if brand:
        attributes["brand"] = brand
    return RawEvent(
        event_id=UNNAMED,
        user_id=user,
        item_id=product,
        action=action,
        event_time_ms=from_iso(time),
        session_id=session or None,
        category=category_code or None,
        price=float_or_text(price) if price else None,
        attributes=attributes or None,
    )
