"""The Taobao log, UserBehavior.csv: user,item,category,behavior,timestamp without a header, times in seconds.

Behaviours are pv (a page view), fav, cart and buy.
"""

from pathlib import Path

from encoder.data.events import BehaviorEvent
from encoder.data.loaders.delimited import Layout
from encoder.data.loaders.times import from_seconds


def layout(first_line: str, path: Path) -> Layout:
    return Layout(",", columns=5, user=0, event=_event, has_header=False)


def _event(cells: list[str], line: int) -> BehaviorEvent:
    user, item, category, action, time = cells
    return BehaviorEvent(
        event_id=f"taobao-{line}",
        user_id=user,
        item_id=item,
        action=action,
        event_time_ms=from_seconds(time),
        category=category or None,
    )
