"""The events of a log as records, part by part."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import Texts
from encoder.data.features import BRAND, as_price
from encoder.data.loaders.assembly.duplicates import keys_of
from encoder.data.loaders.assembly.event_columns import Coded, EventBatch
from encoder.data.loaders.columns.mapping import ATTRIBUTE_PREFIX
from encoder.data.loaders.row_batches import UnusableRow
from export.point_in_time.records import EVENT, Records, user_keys
from export.runtime.bundle import Bundle


def events_of_log(parts: Iterator[EventBatch], bundle: Bundle, *, by_lines: bool) -> Iterator[Records]:
    """Yield the events of each part as (n,) EVENT.

    by_lines: events of one line are the events of one record, as a mapping reads a line. Otherwise each event is a
    record of its own.
    """
    first = 0
    for part in parts:
        columns = part.accepted()
        events = np.zeros(len(columns), EVENT)
        texts = columns.texts
        events["user"] = user_keys(texts["user_id"].values)[texts["user_id"].codes]
        events["moment_ms"] = events["time_ms"] = columns.time_ms
        events["record"] = first + np.arange(len(columns))
        if by_lines:
            _number_lines(events, part)
        events["digest"] = digests(columns.event_ids, len(columns))
        events["item"] = _indices(texts["item_id"], bundle.item_index)
        events["action"] = _indices(texts["action"], bundle.action_index)
        events["category"] = _indices(texts["category"], bundle.category_index)
        if (brand := texts.get(ATTRIBUTE_PREFIX + BRAND)) is not None:
            events["brand"] = _indices(brand, bundle.brand_index)
        events["price"] = as_price(columns.price)
        first += len(columns)
        yield events


def digests(ids: Texts | None, count: int) -> NDArray[np.uint64]:
    """(count,) a hash of each id, 0 where there is none."""
    if ids is None:
        return np.zeros(count, np.uint64)
    keys = keys_of(ids, np.zeros(count, np.int32))
    keys[keys == 0] = 1
    keys[ids.size == 0] = 0
    return keys


def _indices(column: Coded, index: dict[str, int]) -> NDArray[np.int32]:
    """(n,) the index of each text, 0 for an unknown text and for none. The code of none is -1, the last entry."""
    of_values = np.array([*(index.get(value, 0) for value in column.values), 0], np.int32)
    return of_values[column.codes]


def _number_lines(events: Records, part: EventBatch) -> None:
    """Give the events of one line of the file the number of the line's first event, and number them from 0."""
    assert part.rows is not None, "a mapping reads row by row"
    rows = zip(part.rows.lines, part.rows.events, strict=True)
    lines = np.array([line for line, event in rows if not isinstance(event, UnusableRow)], np.int64)
    is_first = np.diff(lines, prepend=-1) != 0
    place = np.arange(len(lines))
    first = np.maximum.accumulate(np.where(is_first, place, 0))
    events["line"] = place - first
    events["record"] = events["record"][first]
