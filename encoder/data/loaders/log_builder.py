"""Builds an event log from batches of rows, and counts the rows that the log leaves out."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_ids import UNNAMED
from encoder.data.event_log import MISSING, Column, EventLog
from encoder.data.events import BehaviorEvent
from encoder.data.loaders.log_report import LogReport
from encoder.data.loaders.row_batches import JudgedBatch, UnusableRow

ITEM_NAME = "item_name"  # the attribute with the name of an item that people read


class _Dictionary(dict[str, int]):
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


class EventLogBuilder:
    """Collects batches of rows. `log()` returns one event log, sorted by time."""

    def __init__(self, source: str) -> None:
        self.report = LogReport()
        self._source = source
        self._dictionaries = {name: _Dictionary() for name in ("user", "item", "action", "category", "session")}
        self._parts: dict[str, list[NDArray[np.generic]]] = {}
        self._attribute_dictionaries: dict[str, _Dictionary] = {}
        self._attribute_parts: list[tuple[int, str, NDArray[np.int32]]] = []  # (first row, attribute, codes)
        self._item_names: dict[str, str] = {}
        self._seen: set[tuple[str, str]] = set()

    def add(self, batch: JudgedBatch) -> None:
        """Add the events of a batch, except for duplicates, and count all rows in the report."""
        events: list[BehaviorEvent] = []
        for line, raw, event in zip(batch.lines, batch.raw, batch.events, strict=True):
            if isinstance(event, UnusableRow):
                self.report.add_unparsable(line, raw, event.reason)
            else:
                events.append(event)
        for line, one in batch.dropped:
            self.report.add_dropped(line, one)
        new = self._new_positions(events)
        if len(new) < len(events):
            self.report.duplicates += len(events) - len(new)
            events = [events[row] for row in new]
        self._append(events)
        self._append_attributes(events)
        self.report.kept += len(events)

    def _new_positions(self, events: list[BehaviorEvent]) -> Sequence[int]:
        """The positions of the events that are not duplicates of an earlier row."""
        keys = [(event.user_id, event.event_id) for event in events]
        if all(event_id == UNNAMED for _, event_id in keys):
            return range(len(events))
        new = set(keys)
        if len(new) == len(keys) and self._seen.isdisjoint(new):  # fast path: most batches have no duplicates
            self._seen |= new
            return range(len(events))
        rows = []
        for row, key in enumerate(keys):
            if key not in self._seen or key[1] == UNNAMED:
                self._seen.add(key)
                rows.append(row)
        return rows

    def _append(self, events: list[BehaviorEvent]) -> None:
        count = len(events)
        dictionaries = self._dictionaries
        columns: dict[str, NDArray[np.generic]] = {
            "user": dictionaries["user"].encode([e.user_id for e in events], count),
            "item": dictionaries["item"].encode([e.item_id for e in events], count),
            "action": dictionaries["action"].encode([e.action for e in events], count),
            "time_ms": np.array([e.event_time_ms for e in events], dtype=np.int64),
            "category": dictionaries["category"].encode_optional([e.category for e in events], count),
            "price": np.array([e.price for e in events], dtype=np.float64),  # None becomes nan
            # One object stands for all ids that are not made yet.
            "event_ids": np.array([UNNAMED if e.event_id == UNNAMED else e.event_id for e in events], dtype=object),
            "session": dictionaries["session"].encode_optional([e.session_id for e in events], count),
        }
        for name, column in columns.items():
            self._parts.setdefault(name, []).append(column)

    def _append_attributes(self, events: list[BehaviorEvent]) -> None:
        attributes = [event.attributes or {} for event in events]
        for name in dict.fromkeys(name for values in attributes for name in values):
            values = [values.get(name) for values in attributes]
            texts = [value if value is None or isinstance(value, str) else str(value) for value in values]
            if name == ITEM_NAME:
                named = zip(events, texts, strict=True)
                self._item_names.update({event.item_id: text for event, text in named if text is not None})
                continue
            dictionary = self._attribute_dictionaries.setdefault(name, _Dictionary())
            codes = dictionary.encode_optional(texts, len(texts))
            self._attribute_parts.append((self.report.kept, name, codes))

    def log(self) -> EventLog:
        """The event log of all batches so far."""
        if not self._parts:
            self._append([])
        columns = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        order = np.argsort(columns["time_ms"], kind="stable")
        attributes = {name: np.full(len(order), MISSING, dtype=np.int32) for name in self._attribute_dictionaries}
        for start, name, part in self._attribute_parts:
            attributes[name][start : start + len(part)] = part
        session = columns.pop("session").astype(np.int32)[order]
        sorted_columns = {name: column[order] for name, column in columns.items()}
        return EventLog(
            user_ids=list(self._dictionaries["user"]),
            item_ids=list(self._dictionaries["item"]),
            actions=list(self._dictionaries["action"]),
            categories=list(self._dictionaries["category"]),
            source=self._source,
            session=Column(list(self._dictionaries["session"]), session) if self._dictionaries["session"] else None,
            attributes={
                name: Column(list(self._attribute_dictionaries[name]), codes[order])
                for name, codes in attributes.items()
            },
            item_names=self._item_names or None,
            **sorted_columns,
        )
