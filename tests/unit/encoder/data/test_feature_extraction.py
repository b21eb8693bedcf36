"""Features that are read from an event log: of events, of items, and the bounds of prices."""

from dataclasses import replace

import numpy as np
import pytest

from encoder.data.feature_extraction import event_features, item_features, price_boundaries
from encoder.data.features import BRAND, CATEGORY, PRICE, TIME, WEEK_MS
from encoder.data.vocabulary import Vocabulary
from tests.support.content import (
    CONTENT_LOG,
    kinds_log,
)
from tests.support.logs import event_log

NAN = float("nan")


def test_a_vocabulary_has_categories_and_brands_with_enough_events() -> None:
    assert (Vocabulary.from_log(CONTENT_LOG, 1).categories, Vocabulary.from_log(CONTENT_LOG, 1).brands) == (
        ["cups", "pots"],
        ["acme"],
    )
    assert Vocabulary.from_log(CONTENT_LOG, 2).categories == ["cups"]


def test_features_of_events_mark_missing_and_unknown_values() -> None:
    features = event_features(CONTENT_LOG, Vocabulary.from_log(CONTENT_LOG, 2))
    assert features[CATEGORY].tolist() == [1, 0, 0, 1]
    assert features[BRAND].tolist() == [1, 0, 0, 1]
    np.testing.assert_array_equal(features[PRICE], np.array([2, NAN, 30, 2], np.float32))
    assert features[TIME].tolist() == [0, 10, 20, WEEK_MS]


def test_an_items_features_are_those_of_its_last_event() -> None:
    later = replace(CONTENT_LOG, category=np.array([0, -1, 1, 1], np.int32), price=np.array([2, NAN, 30, NAN]))
    features = item_features(later, Vocabulary(["c", "a", "b"], ["view"], categories=["cups", "pots"], brands=["acme"]))
    assert features[CATEGORY].tolist() == [0, 2, 2, 0]
    np.testing.assert_array_equal(features[PRICE], np.array([NAN, 30, 2, NAN], np.float32))


def test_price_boundaries_cut_prices_into_parts_of_equal_size() -> None:
    log = replace(kinds_log(3), price=np.arange(600, dtype=float))
    bounds = np.array(price_boundaries(log))
    assert np.bincount(np.searchsorted(bounds, log.price, side="right")).tolist() == pytest.approx([37.5] * 16, abs=1)
    assert price_boundaries(replace(log, price=np.full(600, 5.0))) == ()
    assert price_boundaries(event_log([("ann", "a", "view", 0)])) == ()
