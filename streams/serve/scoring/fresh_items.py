"""The list of a user of whom nothing is known: popular items, and a few that are new in the shop. Pure."""

from typing import Any

import numpy as np

from streams.serve.scoring.scorer import Scored

FRESH_DAYS = 7
PLACES_OF_A_FRESH_ITEM = 5  # one place of so many is for a fresh item


def with_fresh(best: Scored, fresh: Scored) -> Scored:
    """The best items, of which the last ones give way to fresh items that are not among them. Highest score first.

    fresh: at most as many as `best`. The number of items stays that of `best`.
    """
    added = ~np.isin(fresh.item, best.item)
    is_fresh = np.isin(best.item, fresh.item)
    others = np.flatnonzero(~is_fresh)
    leaving = others[len(others) - int(added.sum()) :]
    stays = np.ones(len(best.item), bool)
    stays[leaving] = False
    pairs: Any = zip(best, fresh, strict=True)  # the items, and the parts of their scores
    item, *parts = (np.concatenate([one[stays], other[added]]) for one, other in pairs)
    order = np.argsort(-Scored(item, *parts).score(), kind="stable")
    return Scored(item[order], *(part[order] for part in parts))
