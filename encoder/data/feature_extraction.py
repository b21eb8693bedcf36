"""The features of a log's events and items, as a model reads the features. This module does not need torch."""

import numpy as np

from encoder.data.event_log import EventLog
from encoder.data.features import (
    BRAND,
    CATEGORY,
    EVENT_FEATURES,
    ITEM_FEATURES,
    PRICE,
    TIME,
    WEEK_MS,
    Features,
    as_price,
)
from encoder.data.vocabulary import Vocabulary

PRICE_BUCKETS = 16


def event_features(log: EventLog, vocabulary: Vocabulary) -> Features:
    """All EVENT_FEATURES of a log with n events. Each value has the shape (n,)."""
    return {
        TIME: log.time_ms,
        CATEGORY: vocabulary.category_index(log),
        BRAND: vocabulary.brand_index(log),
        PRICE: as_price(log.price),
    }


def item_features(log: EventLog, vocabulary: Vocabulary) -> Features:
    """All ITEM_FEATURES of the N items of a vocabulary: the latest known value of each item in the log.

    Each value has the shape (N + 1,). Row 0 is the unknown item, whose features are missing.
    """
    item, by_event = vocabulary.item_index(log), event_features(log, vocabulary)
    features: Features = {}
    for name in ITEM_FEATURES:
        values = by_event[name]
        missing = np.isnan(values) if name == PRICE else values == 0
        table = np.full(len(vocabulary.items) + 1, np.nan if name == PRICE else 0, values.dtype)
        known = ~missing & (item > 0)
        table[item[known]] = values[known]  # the log is sorted by time, and numpy keeps the last of several values
        features[name] = table
    return features


def price_boundaries(log: EventLog) -> tuple[float, ...]:
    """Ascending float32 prices that divide the log's events into at most PRICE_BUCKETS equal parts."""
    prices = as_price(log.price[np.isfinite(log.price)])
    if not len(prices):
        return ()
    cuts = np.quantile(prices, np.arange(1, PRICE_BUCKETS) / PRICE_BUCKETS, method="nearest")
    return tuple(np.unique(cuts[cuts > prices.min()]).tolist())


def known_features(log: EventLog, vocabulary: Vocabulary) -> tuple[str, ...]:
    """The EVENT_FEATURES that a model can learn from a log.

    The time needs a log of at least a week, so that the log has every hour of the week.
    """
    is_known = {
        TIME: len(log) > 0 and int(log.time_ms[-1] - log.time_ms[0]) >= WEEK_MS,
        CATEGORY: len(vocabulary.categories) > 0,
        BRAND: len(vocabulary.brands) > 0,
        PRICE: len(price_boundaries(log)) > 0,
    }
    return tuple(name for name in EVENT_FEATURES if is_known[name])
