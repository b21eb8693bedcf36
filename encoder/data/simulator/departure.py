"""Users who leave the shop: before they stop, their visits get rarer and shorter, so that it can be foreseen."""

import numpy as np

from encoder.data.simulator.draws import Floats, Ints
from encoder.data.simulator.population import DAY_S

DECLINE_DAYS = 21.0
EARLIEST = 0.25  # users leave after this share of the log's time
LOST = 0.55  # at least the share of its events that a user who leaves does not make, in a log of some months


def departures_s(users: int, share: float, days: int, random: np.random.Generator) -> Floats:
    """(U,) seconds since the log's first midnight after which each user is gone, infinity for those who stay."""
    when_s = random.uniform(EARLIEST, 1.0, users) * days * DAY_S
    return np.where(random.random(users) < share, when_s, np.inf)


def kept_events(user: Ints, start_s: Floats, length: Ints, gone_s: Floats, random: np.random.Generator) -> Ints:
    """(S,) how many of a session's first events happen: all of them until DECLINE_DAYS before the user is gone, then in
    a share of the sessions that falls to 0, and of these the same share of the events, at least one.

    user, start_s, length: (S,) of the sessions; gone_s: (U,) of `departures_s`.
    """
    left = np.clip((gone_s[user] - start_s) / (DECLINE_DAYS * DAY_S), 0.0, 1.0)
    comes = random.random(len(user)) < left
    return np.where(comes, np.ceil(length * left), 0).astype(np.int64)
