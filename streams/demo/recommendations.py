"""The last events of a few users, and what the users' live representations recommend."""

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from export.runtime.bundle import Bundle
from streams.config.settings import Settings
from streams.demo.results import UserRecommendations
from streams.engine.arena import StoredUser
from streams.store.store import open_store

USERS, RECENT_EVENTS, RECOMMENDED_ITEMS = 3, 4, 4


def latest_users_recommendations(settings: Settings, bundle: Bundle, log: EventLog) -> list[UserRecommendations]:
    """The users of the log's last events, the latest user first. Raises StoreError."""
    last_row = {user: row for row, user in enumerate(log.user.tolist())}
    users = sorted(last_row, key=lambda user: last_row[user], reverse=True)[:USERS]
    stored = _stored_users(settings, bundle, [log.user_ids[user] for user in users])
    return [_recommendations(bundle, log, user, stored[log.user_ids[user]]) for user in users]


def recommend(bundle: Bundle, query: NDArray[np.float32], count: int) -> Sequence[str]:
    """The `count` items with the largest scores under a (Q,) float32 query, best first."""
    scores = bundle.scores(query[None])[0]
    return [bundle.vocabulary.items[i] for i in np.argsort(-scores, kind="stable")[:count]]


def _stored_users(settings: Settings, bundle: Bundle, user_ids: Sequence[str]) -> dict[str, StoredUser]:
    store = open_store(settings, bundle)
    try:
        rows = asyncio.run(store.users.read(user_ids))
    finally:
        store.close()
    return {row.user_id: row for row in rows if isinstance(row, StoredUser)}


def _recommendations(bundle: Bundle, log: EventLog, user: int, stored: StoredUser) -> UserRecommendations:
    """`user` is the user's code in the log."""
    item_names = log.item_names or {}
    rows = np.flatnonzero(log.user == user)[::-1][:RECENT_EVENTS].tolist()
    events = [(log.actions[log.action[row]], log.item_ids[log.item[row]]) for row in rows]
    query = bundle.queries(stored.representation[None], stored.state[None])[0]
    recommended = recommend(bundle, query, RECOMMENDED_ITEMS)
    return UserRecommendations(
        user_id=log.user_ids[user],
        recent=[(action, item_names.get(item, item)) for action, item in events],
        recommended=[item_names.get(item, item) for item in recommended],
    )
