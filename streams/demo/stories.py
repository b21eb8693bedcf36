"""A few users' last events beside what their live representations recommend."""

import asyncio
from collections.abc import Sequence

import numpy as np

from encoder.data.event_log import EventLog
from export.runtime.bundle import Bundle
from streams.config.settings import Settings
from streams.demo.view import UserStory
from streams.engine.arena import StoredUser
from streams.store.user_rows import Store

USERS, RECENT, RECOMMENDED = 3, 4, 4


def user_stories(settings: Settings, bundle: Bundle, log: EventLog) -> list[UserStory]:
    """The stories of the users who acted last. Raises StoreError."""
    last_row = {user: row for row, user in enumerate(log.user.tolist())}
    chosen = sorted(last_row, key=lambda user: last_row[user], reverse=True)[:USERS]
    store = Store(settings, bundle)
    store.connect()
    try:
        rows = asyncio.run(store.read([log.user_ids[user] for user in chosen]))
    finally:
        store.close()
    stored = {row.user_id: row for row in rows if isinstance(row, StoredUser)}
    names = log.item_names or {}
    stories = []
    for user in chosen:
        rows = np.flatnonzero(log.user == user)[::-1][:RECENT].tolist()
        events = [(log.actions[log.action[row]], log.item_ids[log.item[row]]) for row in rows]
        row = stored[log.user_ids[user]]
        best = recommend(bundle, row.representation, RECOMMENDED)
        stories.append(
            UserStory(
                user_id=log.user_ids[user],
                recent=[(action, names.get(item, item)) for action, item in events],
                recommended=[names.get(item, item) for item in best],
            )
        )
    return stories


def recommend(bundle: Bundle, representation: np.ndarray, count: int) -> Sequence[str]:
    """The `count` items with the largest dot product with a (D,) float32 representation, best first."""
    scores = bundle.item_vectors[1:] @ representation
    return [bundle.vocabulary.items[i] for i in np.argsort(-scores, kind="stable")[:count]]
