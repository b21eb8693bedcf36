"""The value of a live state: the same model with a state from an hour, a day or a week before each scored event."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.evaluation.bootstrap import difference
from export.evaluation.scored_events import Indices, ScoredEvents
from export.evaluation.slices import DAY_MS, HOUR_MS, summary

LAGS_MS = {"1 hour": HOUR_MS, "1 day": DAY_MS, "1 week": 7 * DAY_MS}


def seen_before(scored: ScoredEvents, lag_ms: int) -> Indices:
    """(m,) how many of the user's events are at least `lag_ms` older than each scored event."""
    time_ms = scored.event_time_ms
    first_ms = int(time_ms.min())
    stride_ms = int(time_ms.max()) - first_ms + 1  # the keys of a user lie above the keys of all users before
    key = scored.event_user * stride_ms + (time_ms - first_ms)
    limit_ms = np.maximum(scored.time_ms - lag_ms - first_ms, -1)  # -1 lies before all events of the user
    count = np.searchsorted(key, scored.user * stride_ms + limit_ms, side="right")
    return (count - scored.sequences.starts[scored.user]).astype(np.int64)


def freshness(
    scored: ScoredEvents, live: NDArray[np.int64], ranks_after: Callable[[Indices], NDArray[np.int64]]
) -> dict[str, Any]:
    """Compare live with frozen states, over events of users with history.

    live: (m,) ranks under the state after the user's previous event. ranks_after: (m,) numbers of the user's first
    events that the state has seen -> (m,) ranks.

        live      `summary` of the live ranks
        frozen    lag -> {"all": `summary`, "with_state": number of events with a user's event that is old enough,
                  "gain": `difference` live - frozen, "older": {"live", "frozen", "gain"} of these events alone}

    A user without an event that is old enough is ranked as a user without history.
    """
    warm, user = scored.steps > 0, scored.user
    frozen = {}
    for label, lag_ms in LAGS_MS.items():
        seen = seen_before(scored, lag_ms)
        ranks = ranks_after(seen)
        has_state = (seen > 0) & warm
        frozen[label] = {
            "all": summary(ranks[warm], user[warm]),
            "with_state": int(has_state.sum()),
            "gain": difference(user[warm], live[warm], ranks[warm]),
            "older": {
                "live": summary(live[has_state], user[has_state]),
                "frozen": summary(ranks[has_state], user[has_state]),
                "gain": difference(user[has_state], live[has_state], ranks[has_state]),
            },
        }
    return {"live": summary(live[warm], user[warm]), "frozen": frozen}
