"""The Retailrocket log, events.csv, with the columns timestamp,visitorid,event,itemid,transactionid.

Times are milliseconds. The events are view, addtocart and transaction. Only a transaction has a transactionid.
"""

from pathlib import Path

from encoder.data.event_ids import UNNAMED
from encoder.data.loaders.row_batches import RawEvent
from encoder.data.loaders.tables.delimited import CellFields, Layout, check_header
from encoder.data.loaders.text.times import from_milliseconds

_HEADER = "timestamp,visitorid,event,itemid,transactionid"

_FIELDS = CellFields(
    {"event_time_ms": 0, "user_id": 1, "action": 2, "item_id": 3, "attributes.transaction_id": 4},
    time_unit="ms",
)


def layout(first_line: str, path: Path) -> Layout:
    """The layout of the file at `path`, which begins with `first_line`."""
    check_header(first_line, _HEADER, path, "Retailrocket")
    return Layout(",", columns=5, user_column=1, parse_event=_parse_event, has_header=True, fields=_FIELDS)


def _parse_event(cells: list[str]) -> RawEvent:
    time, visitor, action, item, transaction = cells
    return RawEvent(
        event_id=UNNAMED,
        user_id=visitor,
        item_id=item,
        action=action,
        event_time_ms=from_milliseconds(time),
        attributes={"transaction_id": transaction} if transaction else None,
    )
