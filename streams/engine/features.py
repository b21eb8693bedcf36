"""Features of events in the form that a bundle's step graph takes. Pure."""

from collections.abc import Callable, Sequence

import numpy as np

from encoder.data.events import BehaviorEvent
from encoder.data.features import BRAND, CATEGORY, PRICE, TIME, Features, as_price
from export.runtime.bundle import Bundle

NO_ATTRIBUTES: dict[str, str | int | float] = {}

Events = Sequence[BehaviorEvent]


class FeatureReader:
    """Reads the features that a bundle names."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        readers: dict[str, Callable[[Events], np.ndarray]] = {
            TIME: lambda events: np.array([event.event_time_ms for event in events], np.int64),
            CATEGORY: self._category,
            BRAND: self._brand,
            PRICE: lambda events: as_price(np.array([event.price for event in events], np.float64)),  # None becomes nan
        }
        self._readers = {name: readers[name] for name in bundle.features}

    def read(self, events: Events) -> Features:
        """(n,) values of each feature. Missing and unknown values stand as the graph expects them."""
        return {name: read(events) for name, read in self._readers.items()}

    def _category(self, events: Events) -> np.ndarray:
        index = self._bundle.category_index.get
        names = [event.category for event in events]
        return np.array([0 if name is None else index(name, 0) for name in names], np.int64)

    def _brand(self, events: Events) -> np.ndarray:
        index = self._bundle.brand_index.get
        names = [(event.attributes or NO_ATTRIBUTES).get(BRAND) for event in events]
        return np.array([0 if name is None else index(str(name), 0) for name in names], np.int64)
