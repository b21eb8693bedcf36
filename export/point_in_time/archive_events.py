"""The rows of an archive of the behaviour topic as records."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np
import pyarrow
import pyarrow.compute
from numpy.typing import NDArray

from encoder.data.event_log import Texts
from encoder.data.features import BRAND, as_price
from encoder.data.loaders.arrow.binary_arrays import binary_parts
from export.point_in_time.log_events import digests
from export.point_in_time.records import EVENT, Records, user_keys
from export.runtime.bundle import Bundle

_EVENT_KIND, _ERASURE_KIND = "event", "erasure"
_attributes = msgspec.json.Decoder(dict[str, Any]).decode


def events_of_archive(batches: Iterable[Any], bundle: Bundle, kinds: Counter[str]) -> Iterator[Records]:
    """Yield the events and erasures of each record batch of pyarrow as (n,) EVENT.

    batches: partition after partition, and the rows of a partition in order of offset and line. The columns are those
    of the archive: kind, event_id, user_id, item_id, action, event_time_ms, category, price, attributes, partition,
    offset, line, record_timestamp_ms. kinds: counts the rows by kind.
    """
    for batch in batches:
        kind = batch.column("kind").cast(pyarrow.string())
        kinds.update(kind.to_pylist())
        yield _records(batch.filter(pyarrow.compute.is_in(kind, pyarrow.array([_EVENT_KIND, _ERASURE_KIND]))), bundle)


def _records(batch: Any, bundle: Bundle) -> Records:
    events = np.zeros(len(batch), EVENT)
    users = _dictionary(batch.column("user_id"))
    events["user"] = user_keys(users.dictionary.to_pylist())[users.indices.to_numpy()]
    for name, column in (
        ("moment_ms", "record_timestamp_ms"),
        ("time_ms", "event_time_ms"),
        ("partition", "partition"),
        ("record", "offset"),
        ("line", "line"),
    ):
        events[name] = batch.column(column).fill_null(0).to_numpy()
    data, offsets = binary_parts(batch.column("event_id").fill_null("").cast(pyarrow.binary()))
    events["digest"] = digests(Texts(data, offsets[:-1].astype(np.int64), np.diff(offsets)), len(batch))
    events["item"] = _indices(batch.column("item_id"), bundle.item_index)
    events["action"] = _indices(batch.column("action"), bundle.action_index)
    events["category"] = _indices(batch.column("category"), bundle.category_index)
    if BRAND in bundle.features:
        events["brand"] = _brands(batch.column("attributes"), bundle.brand_index)
    events["price"] = as_price(batch.column("price").to_numpy(zero_copy_only=False).astype(np.float64))
    events["is_erasure"] = np.asarray(pyarrow.compute.equal(batch.column("kind").cast(pyarrow.string()), _ERASURE_KIND))
    return events


def _dictionary(column: Any) -> Any:
    return column if pyarrow.types.is_dictionary(column.type) else column.dictionary_encode()


def _indices(column: Any, index: dict[str, int]) -> NDArray[np.int32]:
    """(n,) the index of each text, 0 for an unknown text and for null."""
    column = _dictionary(column)
    of_values = np.array([*(index.get(value, 0) for value in column.dictionary.to_pylist()), 0], np.int32)
    indices: NDArray[np.int32] = of_values[column.indices.fill_null(-1).to_numpy()]
    return indices


def _brands(column: Any, index: dict[str, int]) -> NDArray[np.int32]:
    """(n,) the index of the brand in each JSON object, 0 for an unknown brand and for none."""
    column = _dictionary(column)
    brands = [_attributes(value).get(BRAND) for value in column.dictionary.to_pylist()]
    of_values = np.array([*(0 if brand is None else index.get(str(brand), 0) for brand in brands), 0], np.int32)
    indices: NDArray[np.int32] = of_values[column.indices.fill_null(-1).to_numpy()]
    return indices
