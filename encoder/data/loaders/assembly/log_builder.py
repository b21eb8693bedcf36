"""Builds an event log from the parts of a file, and counts the rows that the log leaves out."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import MISSING, Column, EventLog, Texts
from encoder.data.features import BRAND
from encoder.data.loaders.assembly.duplicates import duplicate_rows, keys_of
from encoder.data.loaders.assembly.event_columns import (
    TEXT_COLUMNS,
    Coded,
    EventBatch,
    EventColumns,
    column_in_order,
    in_order_of_first_event,
)
from encoder.data.loaders.assembly.growing_array import GrowingArray
from encoder.data.loaders.assembly.growing_column import GrowingColumn
from encoder.data.loaders.assembly.user_sample import is_sampled
from encoder.data.loaders.columns.mapping import ATTRIBUTE_PREFIX
from encoder.data.loaders.log_report import LogReport

ITEM_NAME = ATTRIBUTE_PREFIX + "item_name"  # the attribute with the name of an item that people read


def is_unread_by_models(name: str) -> bool:
    """Whether neither a training nor an evaluation reads a field or attributes.NAME."""
    is_attribute = name.startswith(ATTRIBUTE_PREFIX)
    return name == "session_id" or (is_attribute and name not in (ITEM_NAME, ATTRIBUTE_PREFIX + BRAND))


class EventLogBuilder:
    """Collects parts of a file. `log()` returns one event log, sorted by time, and ends the builder."""

    def __init__(
        self,
        source: str,
        new_column: Callable[[], GrowingColumn] = GrowingColumn,
        *,
        for_model: bool = False,
        sample_users: float = 1.0,
    ) -> None:
        """for_model: leave out what `is_unread_by_models` names, and the event ids once duplicates are left out.

        sample_users: share of the users to keep.
        """
        self._sample_users = sample_users
        self.report = LogReport()
        self._source = source
        self._rows = 0
        self._new_column = new_column
        self._for_model = for_model
        self._texts = {name: new_column() for name in TEXT_COLUMNS}
        self._time_ms = GrowingArray(np.int64)
        self._price = GrowingArray(np.float64)
        self._event_ids: list[Texts | int] = []  # a number stands for so many empty ids

    def add(self, batch: EventBatch) -> None:
        """Add the events of a part, and count the rows that are no events in the report."""
        self.report.count_unused(batch.rows)
        self._append(self._sampled(batch.accepted()))

    def _sampled(self, events: EventColumns) -> EventColumns:
        """The events of the users in the sample."""
        if self._sample_users >= 1:
            return events
        values, codes = events.texts["user_id"]
        is_kept = is_sampled(values, self._sample_users)[codes]
        self.report.not_sampled += len(events) - int(is_kept.sum())
        return in_order_of_first_event(events[is_kept])

    def _append(self, events: EventColumns) -> None:
        for name, column in events.texts.items():
            if self._for_model and is_unread_by_models(name):
                continue
            if name not in self._texts:
                self._texts[name] = self._new_column()
            self._texts[name].add(self._rows, column)
        self._time_ms.append(events.time_ms)
        self._price.append(events.price)
        self._event_ids.append(len(events) if events.event_ids is None else events.event_ids)
        self._rows += len(events)

    def log(self) -> EventLog:
        """The event log of all parts. The columns of the builder are freed one after another."""
        ids = self._taken_ids()
        time_ms = self._time_ms.taken()
        price = self._price.taken()
        columns = {name: self._texts.pop(name).taken(self._rows) for name in list(self._texts)}
        duplicates = np.empty(0, np.int64)
        if ids is not None:
            user = columns["user_id"].codes
            duplicates = duplicate_rows(keys_of(ids, user), ids, user)
        if len(duplicates):
            time_ms, price = (np.delete(values, duplicates) for values in (time_ms, price))
            columns = {
                name: column_in_order(Coded(values, np.delete(codes, duplicates)))
                for name, (values, codes) in columns.items()
            }
            assert ids is not None
            ids = ids[np.delete(np.arange(len(ids)), duplicates)]
        self.report.duplicates += len(duplicates)
        self.report.kept += len(time_ms)
        columns["action"] = _narrowed(columns["action"])
        if self._for_model:
            ids = None
        item_names = _item_names(columns.pop(ITEM_NAME, None), columns["item_id"])
        if (time_ms[1:] < time_ms[:-1]).any():
            order = np.argsort(time_ms, kind="stable")
            time_ms, price = time_ms[order], price[order]
            for name, (values, codes) in columns.items():
                columns[name] = Column(values, codes[order])
            ids = None if ids is None else ids[order]
        return _event_log(columns, time_ms, price, ids, item_names, self._source)

    def _taken_ids(self) -> Texts | None:
        """(n,) the ids of all events, or None where all are empty. The builder loses them."""
        parts, self._event_ids = self._event_ids, []
        if all(isinstance(part, int) for part in parts):
            return None
        return Texts.joined([Texts.of([""] * part) if isinstance(part, int) else part for part in parts])


def _narrowed(column: Column) -> Column:
    """The column with codes of one byte, where all codes fit."""
    fits = len(column.values) <= np.iinfo(np.int8).max
    return Column(column.values, column.codes.astype(np.int8)) if fits else column


def _item_names(names: Column | None, items: Column) -> dict[str, str] | None:
    """Item id -> the item's last name. The first event with a name decides about the order of the items."""
    if names is None:
        return None
    rows = np.flatnonzero(names.codes != MISSING)
    item = items.codes[rows]
    last = np.empty(len(items.values), np.int64)
    last[item] = rows  # numpy keeps the last of several values
    named, first = np.unique(item, return_index=True)
    in_order = named[np.argsort(first)].tolist()
    return {items.values[code]: names.values[names.codes[last[code]]] for code in in_order} or None


def _event_log(
    columns: dict[str, Column],
    time_ms: NDArray[np.int64],
    price: NDArray[np.float64],
    ids: Texts | None,
    item_names: dict[str, str] | None,
    source: str,
) -> EventLog:
    """The log of these columns, which are in order of time."""
    users, items, actions, categories, sessions = (columns[name] for name in TEXT_COLUMNS)
    attributes = {
        name.removeprefix(ATTRIBUTE_PREFIX): column
        for name, column in columns.items()
        if name not in TEXT_COLUMNS and column.values
    }
    return EventLog(
        user_ids=users.values,
        item_ids=items.values,
        actions=actions.values,
        categories=categories.values,
        user=users.codes,
        item=items.codes,
        action=actions.codes,
        time_ms=time_ms,
        category=categories.codes,
        price=price,
        source=source,
        event_ids=ids,
        session=sessions if sessions.values else None,
        attributes=attributes,
        item_names=item_names,
    )
