"""Small event logs for tests."""

import numpy as np

from encoder.data.event_log import EventLog, Texts


def event_log(rows: list[tuple[str, str, str, int]]) -> EventLog:
    """Return an event log of the rows (user, item, action, time in ms), which have to be in order of time."""
    columns = list(zip(*rows, strict=True))
    users, items, actions = (sorted(set(column)) for column in columns[:3])
    return EventLog(
        user_ids=users,
        item_ids=items,
        actions=actions,
        categories=[],
        user=np.array([users.index(name) for name in columns[0]], np.int32),
        item=np.array([items.index(name) for name in columns[1]], np.int32),
        action=np.array([actions.index(name) for name in columns[2]], np.int32),
        time_ms=np.array(columns[3], np.int64),
        category=np.full(len(rows), -1, np.int32),
        price=np.full(len(rows), np.nan),
        event_ids=Texts.of(str(row) for row in range(len(rows))),
    )
