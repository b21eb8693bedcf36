"""The rules by which every user of the simulated shop behaves.

Within a session, a user continues with the same item down the funnel, moves on to one of the item's successors, or
looks for another item. The other item comes from the topic of the session, from the user's long-term taste, from the
user's staples, or from the popular or promoted items.
"""

import numpy as np
from numpy.typing import NDArray

from encoder.data.simulator.distributions import Floats

ACTIONS = ["view", "click", "cart", "purchase"]
VIEW, CART = 0, 2

# Probability that the next event is the next action on the same item, by the action of the last event.
FUNNEL = np.array([0.1, 0.4, 0.6, 0.0])
SESSION_END = 1 / 9  # probability that a session ends after an event
KEEP_TOPIC = 0.6  # probability that the user's next session has the same topic
FOLLOW = 0.2  # probability that a user moves on to a successor of the item
TOPIC, TASTE, STAPLE, POPULAR = 0.55, 0.13, 0.1, 0.22  # where a user looks for another item; the sum is 1
PROMOTION = (0.55, 0.75)  # start and end of the promotion, as fractions of the log's time
PROMOTED = 0.6  # share of the popular items that are promoted items instead, during the promotion
DISCOUNT = 0.25  # on promoted items, during the promotion


def is_promotion(at: Floats) -> NDArray[np.bool_]:
    """(n,) times as fractions of the log's time -> (n,) bool, whether the promotion takes place."""
    return (at >= PROMOTION[0]) & (at < PROMOTION[1])
