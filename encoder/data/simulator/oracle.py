"""The upper bound of next-item prediction: an oracle that knows the shop's hidden variables, beside two baselines.

The oracle knows the rules of the shop, each user's tastes and staples, and the topic of each session. It ranks items by
their true probability of being the next item. It does not know the outcomes of random draws, such as whether a session
ends. Apart from chance, no model that sees only the events can score higher.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.simulator import rules
from encoder.data.simulator.distributions import Floats, Ints
from encoder.data.simulator.population import STAPLES
from encoder.data.simulator.shop import Shop, Simulation

_BATCH_ROWS = 512


@dataclass(frozen=True)
class Score:
    """Ranking metrics over events of users with a history."""

    recall_at_20: float
    mrr_at_20: float
    events: int

    @classmethod
    def from_ranks(cls, ranks: NDArray[np.int64]) -> "Score":
        """ranks: (m,) from 1. Rank 0 means that the predictor does not know the item, and counts as a miss."""
        hit = (ranks >= 1) & (ranks <= 20)
        if not len(ranks):
            return cls(0.0, 0.0, 0)
        return cls(float(hit.mean()), float((hit / np.maximum(ranks, 1)).mean()), len(ranks))


def ceiling(shop: Shop, simulation: Simulation, sample: int = 20_000) -> dict[str, Score]:
    """The scores of `oracle`, `last_item` and `popularity` on the same events.

    sample: approximate number of scored events, which are spread evenly over the log. The baselines learn from all
    events before the scored event.
    """
    before = previous_rows(simulation.log)
    known = np.flatnonzero(before >= 0)
    rows = known[:: max(1, len(known) // sample)]
    last_item, popularity = baseline_ranks(simulation.log, rows)
    return {
        "oracle": Score.from_ranks(oracle_ranks(shop, simulation, rows)),
        "last_item": Score.from_ranks(last_item),
        "popularity": Score.from_ranks(popularity),
    }


def previous_rows(log: EventLog) -> Ints:
    """(n,) row of the user's previous event, -1 for a first event."""
    by_user = np.argsort(log.user, kind="stable")
    previous = np.full(len(log), -1, dtype=np.int64)
    same = log.user[by_user[1:]] == log.user[by_user[:-1]]
    previous[by_user[1:][same]] = by_user[:-1][same]
    return previous


def oracle_ranks(shop: Shop, simulation: Simulation, rows: Ints) -> Ints:
    """(m,) rows -> (m,) rank of each row's item by its true probability, among all items.

    The users of all rows must have a previous event. Ties count against the oracle.
    """
    before = previous_rows(simulation.log)
    ranks = []
    for start in range(0, len(rows), _BATCH_ROWS):
        batch = rows[start : start + _BATCH_ROWS]
        probability = next_item_distribution(shop, simulation, batch, before[batch])
        own = probability[np.arange(len(batch)), simulation.log.item[batch]]
        ranks.append((probability >= own[:, None]).sum(axis=1))
    return np.concatenate(ranks) if ranks else np.zeros(0, dtype=np.int64)


def next_item_distribution(shop: Shop, simulation: Simulation, rows: Ints, before: Ints) -> Floats:
    """(m, N) true distribution of each row's item, given the hidden variables and the user's previous event.

    rows: (m,) rows of the log. before: (m,) rows of the users' previous events. `Shop` has the rules.
    """
    catalogue, log = shop.catalogue, simulation.log
    at = simulation.session_time[rows]
    user, item = log.user[rows].astype(np.int64), log.item[before].astype(np.int64)
    continues = rules.FUNNEL[log.action[before]]
    moves = (1 - rules.SESSION_END) * (1 - continues)
    looks = moves * (1 - rules.FOLLOW) + rules.SESSION_END
    is_born = (catalogue.born <= at[:, None]).astype(np.float64)
    all_rows = np.arange(len(rows))

    taste = shop.population.clusters(user, at)
    cluster = taste * (looks * rules.TASTE + rules.SESSION_END * (1 - rules.KEEP_TOPIC) * rules.TOPIC)[:, None]
    kept = moves * (1 - rules.FOLLOW) + rules.SESSION_END * rules.KEEP_TOPIC
    cluster[all_rows, simulation.topic[before]] += kept * rules.TOPIC
    probability = _within_clusters(shop, cluster, is_born)

    popular = catalogue.popularity.dense_row(0, catalogue.items) * is_born
    promotion = catalogue.promotion.dense_row(0, catalogue.items)
    promoted = rules.PROMOTED * rules.is_promotion(at)[:, None]
    popular = promoted * promotion + (1 - promoted) * popular / popular.sum(axis=1, keepdims=True)
    probability += (looks * rules.POPULAR)[:, None] * popular

    for place in range(STAPLES):
        probability[all_rows, shop.population.staples[user, place]] += looks * rules.STAPLE / STAPLES
    successor, share = catalogue.successors_of(item)
    share = share * (catalogue.born[successor] <= at[:, None])
    share *= (moves * rules.FOLLOW / share.sum(axis=1))[:, None]
    np.add.at(probability, (all_rows[:, None], successor), share)
    probability[all_rows, item] += (1 - rules.SESSION_END) * continues
    return probability


def _within_clusters(shop: Shop, cluster: Floats, is_born: Floats) -> Floats:
    """(m, K) probabilities of the clusters, (m, N) whether each item exists -> (m, N) probabilities of the items.

    A cluster's probability is distributed over the cluster's existing items.
    """
    members = shop.catalogue.members
    weight = members.probability * is_born[:, members.value]
    starts = np.searchsorted(members.row, np.arange(cluster.shape[1]))
    mass = np.add.reduceat(weight, starts, axis=1)
    probability = np.empty_like(weight)
    probability[:, members.value] = weight * (cluster / mass)[:, members.row]
    return probability


def baseline_ranks(log: EventLog, rows: Ints) -> tuple[Ints, Ints]:
    """(m,) ascending rows -> (m,) ranks of their items by the last item, (m,) ranks by popularity.

    Both rankings count the events before the row. The first one ranks an item by how often the item followed the
    user's last item, and then by popularity. Ties count against the ranking, and a new item has rank 0.
    """
    before = previous_rows(log).tolist()
    items = log.item.tolist()
    popularity = np.zeros(len(log.item_ids), dtype=np.int64)
    followers: defaultdict[int, Counter[int]] = defaultdict(Counter)
    by_last, by_count = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=np.int64)
    done = 0
    for place, row in enumerate(rows.tolist()):
        for earlier in range(done, row):
            popularity[items[earlier]] += 1
            if before[earlier] >= 0:
                followers[items[before[earlier]]][items[earlier]] += 1
        done = row
        item = items[row]
        if popularity[item]:
            by_count[place] = np.count_nonzero(popularity >= popularity[item])
            counts = followers[items[before[row]]] if before[row] >= 0 else Counter()
            score = popularity.copy()
            score[list(counts)] += np.array(list(counts.values()), dtype=np.int64) * (row + 1)
            by_last[place] = np.count_nonzero(score >= score[item])
    return by_last, by_count
