"""The ceiling: next-item prediction by someone who knows the shop's hidden variables, beside two simple baselines.

The oracle knows each user's taste, brand loyalty, staples, the topic of the session and the shop's rules, and ranks by
the true probability of the next item given all that; it does not know what the dice will show: whether the session
ends here, whether the user goes on with the item. No model of the events alone can score above it, but for chance.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.simulator import shop as rules
from encoder.data.simulator.draws import Floats, Ints
from encoder.data.simulator.population import STAPLES
from encoder.data.simulator.shop import Shop, Trace

_BATCH = 512


@dataclass(frozen=True)
class Score:
    """Over the events of users with a history; a rank of 0 (item not known to the predictor) is a miss."""

    recall_at_20: float
    mrr_at_20: float
    events: int

    @classmethod
    def of(cls, ranks: NDArray[np.int64]) -> "Score":
        hit = (ranks >= 1) & (ranks <= 20)
        if not len(ranks):
            return cls(0.0, 0.0, 0)
        return cls(float(hit.mean()), float((hit / np.maximum(ranks, 1)).mean()), len(ranks))


def ceiling(shop: Shop, trace: Trace, sample: int = 20_000) -> dict[str, Score]:
    """Scores of `oracle`, `last_item` and `popularity` on the same events: about `sample`, evenly over the log.

    Both baselines learn while the log runs, from all its events before the one they are scored on.
    """
    before = previous_rows(trace.log)
    known = np.flatnonzero(before >= 0)
    rows = known[:: max(1, len(known) // sample)]
    last_item, popularity = baseline_ranks(trace.log, rows)
    return {
        "oracle": Score.of(oracle_ranks(shop, trace, rows)),
        "last_item": Score.of(last_item),
        "popularity": Score.of(popularity),
    }


def previous_rows(log: EventLog) -> Ints:
    """(n,) the row of the same user's event before, -1 where there is none."""
    by_user = np.argsort(log.user, kind="stable")
    previous = np.full(len(log), -1, dtype=np.int64)
    same = log.user[by_user[1:]] == log.user[by_user[:-1]]
    previous[by_user[1:][same]] = by_user[:-1][same]
    return previous


def oracle_ranks(shop: Shop, trace: Trace, rows: Ints) -> Ints:
    """(m,) rank of each row's item by true probability over all items, ties against. Rows need an event before."""
    before = previous_rows(trace.log)
    ranks = []
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        probability = next_item(shop, trace, batch, before[batch])
        own = probability[np.arange(len(batch)), trace.log.item[batch]]
        ranks.append((probability >= own[:, None]).sum(axis=1))
    return np.concatenate(ranks) if ranks else np.zeros(0, dtype=np.int64)


def next_item(shop: Shop, trace: Trace, rows: Ints, before: Ints) -> Floats:
    """(m, N) the distribution of each row's item, given the hidden variables and the user's event `before`.

    The rules are those of `Shop`.
    """
    catalogue, log = shop.catalogue, trace.log
    at = trace.at[rows]
    user, item = log.user[rows].astype(np.int64), log.item[before].astype(np.int64)
    goes_on = rules.FUNNEL[log.action[before]]
    moves = (1 - rules.SESSION_END) * (1 - goes_on)
    looks = moves * (1 - rules.FOLLOW) + rules.SESSION_END
    is_born = (catalogue.born <= at[:, None]).astype(np.float64)
    everyone = np.arange(len(rows))

    taste = shop.population.clusters(user, at)
    cluster = taste * (looks * rules.TASTE + rules.SESSION_END * (1 - rules.KEEP_TOPIC) * rules.TOPIC)[:, None]
    kept = moves * (1 - rules.FOLLOW) + rules.SESSION_END * rules.KEEP_TOPIC
    cluster[everyone, trace.topic[before]] += kept * rules.TOPIC
    probability = _within_clusters(shop, cluster, is_born)

    popular = catalogue.popularity.of_row(0, catalogue.items) * is_born
    promotion = catalogue.promotion.of_row(0, catalogue.items)
    promoted = rules.PROMOTED * rules.is_promotion(at)[:, None]
    popular = promoted * promotion + (1 - promoted) * popular / popular.sum(axis=1, keepdims=True)
    probability += (looks * rules.POPULAR)[:, None] * popular

    for place in range(STAPLES):
        probability[everyone, shop.population.staples[user, place]] += looks * rules.STAPLE / STAPLES
    successor, share = catalogue.successors_of(item)
    share = share * (catalogue.born[successor] <= at[:, None])
    share *= (moves * rules.FOLLOW / share.sum(axis=1))[:, None]
    np.add.at(probability, (everyone[:, None], successor), share)
    probability[everyone, item] += (1 - rules.SESSION_END) * goes_on
    return probability


def _within_clusters(shop: Shop, cluster: Floats, is_born: Floats) -> Floats:
    """(m, N) what clusters of probabilities (m, K) give to the items that exist; every item has exactly one cluster."""
    members = shop.catalogue.members
    weight = members.probability * is_born[:, members.value]
    starts = np.searchsorted(members.row, np.arange(cluster.shape[1]))
    mass = np.add.reduceat(weight, starts, axis=1)
    probability = np.empty_like(weight)
    probability[:, members.value] = weight * (cluster / mass)[:, members.row]
    return probability


def baseline_ranks(log: EventLog, rows: Ints) -> tuple[Ints, Ints]:
    """(last item, popularity): ranks (m,) of the items at ascending `rows`, ties against, 0 for an item never seen.

    Popularity ranks by the count of all events before; the other by how often an item came right after the user's last
    item, then by popularity.
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
