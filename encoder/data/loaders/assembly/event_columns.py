"""Events by columns, as a part of a file holds them. The texts of a column have codes of that part alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_ids import UNNAMED
from encoder.data.event_log import MISSING, Column, Texts
from encoder.data.events import BehaviorEvent
from encoder.data.loaders.columns.mapping import ATTRIBUTE_PREFIX
from encoder.data.loaders.row_batches import JudgedBatch, UnusableRow

TEXT_COLUMNS = ("user_id", "item_id", "action", "category", "session_id")


class Dictionary(dict[str, int]):
    """The codes of a dictionary-encoded column. A new value gets the next code."""

    def __missing__(self, value: str) -> int:
        self[value] = code = len(self)
        return code

    def encode(self, values: Iterable[str], count: int) -> NDArray[np.int32]:
        """(count,) codes of the values."""
        return np.fromiter(map(self.__getitem__, values), dtype=np.int32, count=count)

    def encode_optional(self, values: Iterable[str | None], count: int) -> NDArray[np.int32]:
        """(count,) codes of the values. None has the code MISSING."""
        codes = (MISSING if value is None else self[value] for value in values)
        return np.fromiter(codes, dtype=np.int32, count=count)


class Coded(NamedTuple):
    """A dictionary-encoded column of n rows. The values need not be distinct. The code MISSING stands for no value."""

    values: list[str] | Texts
    codes: NDArray[np.int32]  # (n,)


@dataclass
class EventColumns:
    """n events. `texts` has the TEXT_COLUMNS, and `attributes.NAME` for each attribute that an event may have."""

    texts: dict[str, Coded]
    time_ms: NDArray[np.int64]  # (n,)
    price: NDArray[np.float64]  # (n,) nan when the event has no price
    event_ids: Texts | None  # (n,) an empty id is not made yet; None: no id is

    def __len__(self) -> int:
        return len(self.time_ms)

    def __getitem__(self, rows: "NDArray[np.bool_] | NDArray[np.intp]") -> "EventColumns":
        return EventColumns(
            {name: Coded(values, codes[rows]) for name, (values, codes) in self.texts.items()},
            self.time_ms[rows],
            self.price[rows],
            None if self.event_ids is None else self.event_ids[rows],
        )


class EventBatch(NamedTuple):
    """A part of a file: the events that were judged by columns, and the rows that were judged one by one."""

    columns: EventColumns
    column_lines: NDArray[np.int64]  # (n,) lines of the events in `columns`
    rows: JudgedBatch | None = None

    def accepted(self) -> EventColumns:
        """All events of the part in the order of the lines, and values in the order of their first event."""
        if self.rows is None:
            return self.columns
        taken = [
            (line, event)
            for line, event in zip(self.rows.lines, self.rows.events, strict=True)
            if not isinstance(event, UnusableRow)
        ]
        others = columns_of([event for _, event in taken])
        if not len(self.columns):
            return others
        lines = np.concatenate([self.column_lines, np.array([line for line, _ in taken], np.int64)])
        return in_order_of_first_event(_joined(self.columns, others)[np.argsort(lines, kind="stable")])


def columns_of(events: Sequence[BehaviorEvent]) -> EventColumns:
    """The events by columns. All attribute values are texts."""
    count = len(events)
    texts: dict[str, Coded] = {}
    for name in TEXT_COLUMNS:
        codes = Dictionary()
        encoded = codes.encode_optional((getattr(event, name) for event in events), count)
        texts[name] = Coded(list(codes), encoded)
    attributes = [event.attributes or {} for event in events]
    for name in dict.fromkeys(name for values in attributes for name in values):
        codes = Dictionary()
        given = (values.get(name) for values in attributes)
        encoded = codes.encode_optional(
            (value if value is None or isinstance(value, str) else str(value) for value in given), count
        )
        texts[ATTRIBUTE_PREFIX + name] = Coded(list(codes), encoded)
    is_named = any(event.event_id != UNNAMED for event in events)
    ids = Texts.of("" if event.event_id == UNNAMED else event.event_id for event in events) if is_named else None
    return EventColumns(
        texts,
        np.array([event.event_time_ms for event in events], np.int64),
        np.array([event.price for event in events], np.float64),  # None becomes nan
        ids,
    )


def _joined(one: EventColumns, other: EventColumns) -> EventColumns:
    texts: dict[str, Coded] = {}
    for name in dict.fromkeys([*one.texts, *other.texts]):
        first, second = (
            part.texts.get(name) or Coded([], np.full(len(part), MISSING, np.int32)) for part in (one, other)
        )
        shifted = np.where(second.codes == MISSING, MISSING, second.codes + len(first.values))
        texts[name] = Coded([*first.values, *second.values], np.concatenate([first.codes, shifted.astype(np.int32)]))
    ids = [Texts.of([""] * len(part)) if part.event_ids is None else part.event_ids for part in (one, other)]
    return EventColumns(
        texts,
        np.concatenate([one.time_ms, other.time_ms]),
        np.concatenate([one.price, other.price]),
        None if one.event_ids is None and other.event_ids is None else Texts.joined(ids),
    )


def in_order_of_first_event(columns: EventColumns) -> EventColumns:
    """The same events. Each column has only values of its events, in the order of the first event of each value."""
    return EventColumns(
        {name: Coded(*column_in_order(column)) for name, column in columns.texts.items()},
        columns.time_ms,
        columns.price,
        columns.event_ids,
    )


def column_in_order(column: Coded) -> Column:
    """The same column. It has only values of its rows, in the order of the first row of each value."""
    first = _first_rows(column)
    used = np.flatnonzero(first < len(column.codes))
    order = used[np.argsort(first[used])]
    place = np.full(len(column.values) + 1, MISSING, np.int32)  # the last entry is for the code MISSING
    place[order] = np.arange(len(order))
    values = list(column.values)
    return Column([values[code] for code in order.tolist()], place[column.codes])


def _first_rows(column: Coded) -> NDArray[np.int64]:
    """(values,) the first row of each value. The number of rows where no row has the value."""
    rows = len(column.codes)
    first = np.full(len(column.values) + 1, rows, np.int64)  # the last entry is for the code MISSING
    first[column.codes[::-1]] = np.arange(rows - 1, -1, -1)  # numpy keeps the last of several values
    return first[:-1]
