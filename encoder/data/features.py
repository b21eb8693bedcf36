"""The features of an event besides user, item and action: the event's time, and the item's category, brand and price.

The same feature names stand for columns of sequences, for inputs of the step graph and for parts of a model. An item
has the same features except for the time.
"""

import numpy as np
from numpy.typing import NDArray

TIME, CATEGORY, BRAND, PRICE = "time_ms", "category", "brand", "price"
EVENT_FEATURES = (TIME, CATEGORY, BRAND, PRICE)
ITEM_FEATURES = (CATEGORY, BRAND, PRICE)

HOUR_MS = 3_600_000
WEEK_HOURS = 168
EPOCH_HOUR = 72  # the hour of the week of 1970-01-01 00:00 UTC, a Thursday; Monday 00:00 is hour 0
WEEK_MS = WEEK_HOURS * HOUR_MS

# Feature name -> values. category, brand: int64 index, 0 is missing or unknown. price: float32, nan is missing.
# time_ms: int64.
Features = dict[str, NDArray[np.generic]]


def as_price(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Convert prices to float32, so that training and the step graph put a price into the same bucket."""
    with np.errstate(over="ignore"):  # a price beyond float32 becomes infinity, which is in the last bucket
        return values.astype(np.float32)
