"""Users who leave the shop. Their visits become rarer and shorter beforehand, so that a model can predict the churn."""

import numpy as np

from encoder.data.simulator.distributions import Floats, Ints
from encoder.data.simulator.population import DAY_S

DECLINE_DAYS = 21.0  # days before a user leaves, in which the visits become rarer and shorter
EARLIEST = 0.25  # users leave after this fraction of the log's time
# In a log of some months, a user who leaves loses at most this share of the events.
LOST = 0.55


def churn_times_s(users: int, share: float, days: int, random: np.random.Generator) -> Floats:
    """(U,) time at which each user leaves, in seconds since the log's first midnight. Users who stay have infinity.

    share: share of the users who leave.
    """
    when_s = random.uniform(EARLIEST, 1.0, users) * days * DAY_S
    return np.where(random.random(users) < share, when_s, np.inf)


def kept_events(user: Ints, start_s: Floats, length: Ints, churn_s: Floats, random: np.random.Generator) -> Ints:
    """(S,) number of events that happen in each session.

    user, start_s, length: (S,) user, start and number of events of each session. churn_s: (U,) from `churn_times_s`.
    All events happen until DECLINE_DAYS before the user leaves. From then on, a share falls linearly from 1 to 0. The
    share is the probability that a session happens, and the share of the session's events that happen.
    """
    share = np.clip((churn_s[user] - start_s) / (DECLINE_DAYS * DAY_S), 0.0, 1.0)
    happens = random.random(len(user)) < share
    return np.where(happens, np.ceil(length * share), 0).astype(np.int64)
