"""Groups of scored events."""

import numpy as np

from export.evaluation.scored_events import ScoredEvents
from export.evaluation.slices import slices
from export.runtime.bundle import Bundle
from tests.support.logs import event_log
from tests.support.random_log import ITEMS

REPEATS = "repeats, of known items after a user's first event"


def test_events_at_the_bounds_of_slices_are_in_the_right_slice(bundle: Bundle) -> None:
    times_ms = np.cumsum([0, 0, 59_999, 60_000, 3_599_999, 3_600_000, 86_399_999, 86_400_000])
    items = ["item-1", "item-6", "item-7", "item-60", "new", "item-1", "item-1", "item-1"]
    log = event_log([("u", item, "view", 10**12 + int(t)) for item, t in zip(items, times_ms, strict=True)])
    scored = ScoredEvents.from_logs(log, bundle.vocabulary)
    found = {
        (group, label): np.flatnonzero(mask).tolist()
        for group, label, mask in slices(scored, bundle.vocabulary.actions, ITEMS)
    }
    assert found == {
        ("user", "cold (first event)"): [0],
        ("user", "warm"): [1, 2, 3, 4, 5, 6, 7],
        ("events of history", "1-2"): [1, 2],
        ("events of history", "3-5"): [3, 4, 5],
        ("events of history", "6-10"): [6, 7],
        (REPEATS, "same item as the event before"): [6, 7],
        (REPEATS, "item seen earlier"): [5],
        (REPEATS, "item new to the user"): [1, 2, 3],
        ("state age", "under 1 min"): [1, 2],
        ("state age", "under 1 h"): [3, 4],
        ("state age", "under 1 day"): [5, 6],
        ("state age", "1 day and more"): [7],
        ("item", "known"): [0, 1, 2, 3, 5, 6, 7],
        ("item", "unseen (always a miss)"): [4],
        ("item popularity decile", "1 (most popular)"): [0, 1, 5, 6, 7],
        ("item popularity decile", "2"): [2],
        ("item popularity decile", "10 (least popular)"): [3],
        ("action", "view"): list(range(8)),
    }
