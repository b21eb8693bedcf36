"""Features of live events."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from encoder.data.events import BehaviorEvent
from encoder.data.features import BRAND, CATEGORY, EVENT_FEATURES, PRICE, TIME
from export import parity
from export.exporter import export_model
from export.runtime.bundle import Bundle
from streams.engine.features import FeatureReader
from tests.support.content import (
    model_with_all_features,
    vocabulary_with_all_features,
)

NAN = float("nan")


@pytest.fixture(autouse=True, scope="module")
def _short_proof() -> Iterator[None]:
    """Shorten the parity proof of each export, which takes seconds at full length. Tests of parity run all of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "STEPS", 100)
        yield


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export_model(
        model_with_all_features(), vocabulary_with_all_features(), tmp_path_factory.mktemp("bundle") / "everything"
    )


def test_features_of_live_events_are_those_of_the_log(bundle: Bundle) -> None:
    what: list[dict[str, Any]] = [
        {"category": "category-2", "price": 12.3, "attributes": {BRAND: "brand-5"}},
        {"category": "none such", "price": 1e300, "attributes": {BRAND: 7}},
        {"attributes": {"colour": "red"}},
        {},
    ]
    events = [
        BehaviorEvent(event_id="e", user_id="u", item_id="i", action="view", event_time_ms=1_000 * n, **fields)
        for n, fields in enumerate(what)
    ]
    features = FeatureReader(bundle).read(events)
    assert tuple(features) == EVENT_FEATURES
    assert features[TIME].tolist() == [0, 1_000, 2_000, 3_000]
    assert features[CATEGORY].tolist() == [2, 0, 0, 0]
    assert features[BRAND].tolist() == [5, 0, 0, 0]
    np.testing.assert_array_equal(features[PRICE], np.array([12.3, np.inf, NAN, NAN], np.float32))
    assert [values.dtype for values in features.values()] == [np.int64, np.int64, np.int64, np.float32]
