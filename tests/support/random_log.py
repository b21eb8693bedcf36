"""An event log of random events over the items of a small bundle."""

import numpy as np

from encoder.data.event_log import EventLog
from tests.support.logs import event_log

ITEMS = 60


def random_log(events: int = 400, users: int = 25, seed: int = 0, start_ms: int = 10**12) -> EventLog:
    """Return a log of random events within 20 days. One action is markup that a report has to escape."""
    draw = np.random.default_rng(seed)
    times = start_ms + np.sort(draw.integers(0, 20 * 86_400_000, events))
    return event_log(
        [
            (
                f"u{draw.integers(users)}",
                f"item-{draw.integers(1, ITEMS + 6)}",  # the last five are not in the catalogue
                str(draw.choice(["view", "cart", "[/b]<i>"])),
                int(time_ms),
            )
            for time_ms in times
        ]
    )
