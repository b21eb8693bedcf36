"""What is known of an event besides who did what to which item: its time, category, brand and price. Free of torch.

The same names stand for the columns of sequences, the inputs of the step graph and the parts of a model's vectors. An
item has them too, but for the time: the latest that the log says of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from encoder.data.event_log import EventLog
    from encoder.data.vocabulary import Vocabulary

TIME, CATEGORY, BRAND, PRICE = "time_ms", "category", "brand", "price"
EVENT_FEATURES = (TIME, CATEGORY, BRAND, PRICE)
ITEM_FEATURES = (CATEGORY, BRAND, PRICE)

HOUR_MS = 3_600_000
WEEK_HOURS = 168
EPOCH_HOUR = 72  # 1970-01-01 was a Thursday: its first hour, counted from Monday
WEEK_MS = WEEK_HOURS * HOUR_MS

PRICE_BUCKETS = 16

# category, brand: int64 index, 0 missing or unknown; price: float32, nan missing; time_ms: int64
Features = dict[str, NDArray[np.generic]]


def event_features(log: EventLog, vocabulary: Vocabulary) -> Features:
    """(n,) each of EVENT_FEATURES of every event."""
    return {
        TIME: log.time_ms,
        CATEGORY: vocabulary.category_index(log),
        BRAND: vocabulary.brand_index(log),
        PRICE: as_price(log.price),
    }


def item_features(log: EventLog, vocabulary: Vocabulary) -> Features:
    """(N + 1,) each of ITEM_FEATURES of every item: the latest that the log has, missing in row 0."""
    item, of_event = vocabulary.item_index(log), event_features(log, vocabulary)
    features: Features = {}
    for name in ITEM_FEATURES:
        values = of_event[name]
        missing = np.isnan(values) if name == PRICE else values == 0
        table = np.full(len(vocabulary.items) + 1, np.nan if name == PRICE else 0, values.dtype)
        known = ~missing & (item > 0)
        table[item[known]] = values[known]  # the log is in order of time, and of equal places the last one counts
        features[name] = table
    return features


def as_price(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Prices as models see them: float32, so that a bucket is the same in training and in the step graph."""
    with np.errstate(over="ignore"):  # beyond float32 is the last bucket
        return values.astype(np.float32)


def price_boundaries(log: EventLog) -> tuple[float, ...]:
    """Ascending float32 prices that cut the log's events into at most PRICE_BUCKETS equal parts."""
    prices = as_price(log.price[np.isfinite(log.price)])
    if not len(prices):
        return ()
    cuts = np.quantile(prices, np.arange(1, PRICE_BUCKETS) / PRICE_BUCKETS, method="nearest")
    return tuple(np.unique(cuts[cuts > prices.min()]).tolist())


def known_features(log: EventLog, vocabulary: Vocabulary) -> tuple[str, ...]:
    """Those of EVENT_FEATURES that a model can learn from a log. The time takes a week, so that it has every hour."""
    is_known = {
        TIME: len(log) > 0 and int(log.time_ms[-1] - log.time_ms[0]) >= WEEK_MS,
        CATEGORY: len(vocabulary.categories) > 0,
        BRAND: len(vocabulary.brands) > 0,
        PRICE: len(price_boundaries(log)) > 0,
    }
    return tuple(name for name in EVENT_FEATURES if is_known[name])
