"""Blocks have the values that the engine reads of events, and hold whole records."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from encoder.data.events import BehaviorEvent
from encoder.data.features import EVENT_FEATURES
from streams.archive.columns import ArchivedRecord, to_batch
from streams.commands.backfill.blocks import make_history, read_history
from streams.engine.codec import Erasure, Outcome, Rejected, Several
from streams.engine.features import FeatureReader
from tests.support.processing import TinyBundle


class RichBundle(TinyBundle):
    """A bundle that names every feature."""

    features = EVENT_FEATURES
    category_index: ClassVar = {"shoes": 1, "hats": 2}
    brand_index: ClassVar = {"acme": 1, "7": 2, "7.5": 3}


events = st.builds(
    BehaviorEvent,
    event_id=st.text(max_size=20),
    user_id=st.sampled_from(["a", "b", "用户"]),
    item_id=st.sampled_from(["i1", "i2", "new"]),
    action=st.sampled_from(["view", "purchase", "wave"]),
    event_time_ms=st.integers(-(2**53), 2**53),
    category=st.sampled_from([None, "shoes", "hats", "else"]),
    price=st.none() | st.floats(0, 1e300),
    attributes=st.none()
    | st.dictionaries(st.sampled_from(["brand", "size"]), st.sampled_from(["acme", "7", 7, 7.5, "else"])),
)


@given(st.lists(events, min_size=1, max_size=20))
def test_features_are_those_that_the_engine_reads_of_events(drawn: list[BehaviorEvent]) -> None:
    records = [ArchivedRecord(offset, 0) for offset in range(len(drawn))]
    block = make_history(RichBundle(), 0, to_batch("events", 0, records, drawn), len(drawn)).block
    expected = FeatureReader(RichBundle()).read(drawn)
    assert block.features.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(block.features[name], values, name)
        assert block.features[name].dtype == values.dtype
    assert [block.user_ids[place] for place in block.user] == [event.user_id for event in drawn]
    assert [block.items[place] for place in block.item] == [event.item_id for event in drawn]
    assert block.item_index.tolist() == [TinyBundle.item_index.get(event.item_id, 0) for event in drawn]
    assert block.action_index.tolist() == [TinyBundle.action_index.get(event.action, 0) for event in drawn]


class Batches:
    """An archive's reader that returns batches of two records."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        self._outcomes = outcomes

    def read(self, partition: int, first: int, last: int, rows: int, columns: Any) -> Iterator[pa.RecordBatch]:
        for at in range(first, last + 1, 2):
            records = [ArchivedRecord(offset, 0) for offset in range(at, min(at + 2, last + 1))]
            batch = to_batch("events", partition, records, self._outcomes[at : at + len(records)])
            yield batch.select(columns)


def view(user: str) -> BehaviorEvent:
    return BehaviorEvent(event_id="e", user_id=user, item_id="i1", action="view", event_time_ms=0)


def test_batches_join_to_blocks_whose_ends_leave_no_offset_out() -> None:
    order = Several("e", "a", (view("a"), view("a"), view("a")))
    outcomes: list[Outcome] = [view("a"), order, Rejected("no JSON", "value"), Erasure("b"), view("b"), view("a")]
    found = list(read_history(Batches(outcomes), TinyBundle(), 3, 0, 9, 6))
    assert [(len(one.block), one.rejected, one.end) for one in found] == [(5, 1, 4), (2, 0, 9)]
    first = found[0].block
    assert first.partition == 3
    assert first.is_erasure.tolist() == [False] * 4 + [True]
    assert first.is_first.tolist() == [True, True, False, False, True]
    records, back = found[0].outcomes(np.array([1, 2, 3, 4]))
    assert ([record.offset for record in records], back) == ([1, 3], [order, Erasure("b")])
