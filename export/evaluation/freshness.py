"""What a live state is worth: the same model with a state frozen an hour, a day, a week before each scored event."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.evaluation.bootstrap import difference
from export.evaluation.scored_events import Indices, ScoredEvents
from export.evaluation.slices import DAY_MS, HOUR_MS, summary

LAGS_MS = {"1 hour": HOUR_MS, "1 day": DAY_MS, "1 week": 7 * DAY_MS}


def seen_before(scored: ScoredEvents, lag_ms: int) -> Indices:
    """(m,) int64 how many of the user's events are at least `lag_ms` older than each scored event."""
    first_ms = int(scored.time_ms.min())
    stride = int(scored.time_ms.max()) - first_ms + 1
    key = scored.user * stride + (scored.time_ms - first_ms)
    limit_ms = np.maximum(scored.time_ms[scored.target] - lag_ms - first_ms, -1)  # -1: after all of the user before
    count = np.searchsorted(key, scored.users * stride + limit_ms, side="right")
    return (count - scored.sequences.starts[scored.users]).astype(np.int64)


def freshness(
    scored: ScoredEvents, live: NDArray[np.int64], ranks_after: Callable[[Indices], NDArray[np.int64]]
) -> dict[str, Any]:
    """Live against frozen states over events of users with history.

    live: (m,) ranks under the state of the event before; ranks_after: (m,) numbers of seen events -> (m,) ranks.

    {"live": summary, "frozen": {lag: {"all": summary, "with_state": how many of them had an event so old (the others
    are ranked as of a user without history), "gain": `difference` live - frozen, "older": {"live", "frozen", "gain"}
    over only those that had one}}}
    """
    warm = scored.steps > 0
    user = scored.users[warm]
    frozen = {}
    for label, lag_ms in LAGS_MS.items():
        seen = seen_before(scored, lag_ms)
        ranks = ranks_after(seen)
        has_state = (seen > 0) & warm
        frozen[label] = {
            "all": summary(ranks[warm], user),
            "with_state": int(has_state.sum()),
            "gain": difference(user, live[warm], ranks[warm]),
            "older": {
                "live": summary(live[has_state], scored.users[has_state]),
                "frozen": summary(ranks[has_state], scored.users[has_state]),
                "gain": difference(scored.users[has_state], live[has_state], ranks[has_state]),
            },
        }
    return {"live": summary(live[warm], user), "frozen": frozen}
