"""The slices to which an event belongs. Pure: no I/O, no clock."""

from streams.contracts.evaluation_events import EvaluationEvent
from streams.monitor.drift.blocks import MAX_ACTIONS
from streams.monitor.drift.bounded_names import BoundedNames

NEW_STEPS = 5  # a user with fewer events is new
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000


class Slicer:
    """Names the slices of events. At most MAX_ACTIONS + 1 + 2 + 4 + 11 names."""

    def __init__(self) -> None:
        self._actions = BoundedNames(MAX_ACTIONS)

    def names(self, event: EvaluationEvent, popularity_rank: int, items: int) -> tuple[str, str, str, str]:
        """The slices of one event.

        popularity_rank: the rank of the item by popularity so far, 0 for an item that was never seen. items: number of
        items seen so far.
        """
        action = f"action={self._actions.name(event.action)}"
        history = "history=new" if event.steps < NEW_STEPS else "history=known"
        age_ms = event.state_age_ms or 0
        if age_ms < MINUTE_MS:
            age = "age=under_1m"
        elif age_ms < HOUR_MS:
            age = "age=under_1h"
        elif age_ms < DAY_MS:
            age = "age=under_1d"
        else:
            age = "age=over_1d"
        if not popularity_rank:
            return action, history, age, "popularity=unseen"
        return action, history, age, f"popularity={1 + min(9, (popularity_rank - 1) * 10 // items)}"
