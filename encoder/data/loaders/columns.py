"""Turns batches of rows into an event log in columns, counting what is left out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import MISSING, Column, EventLog
from encoder.data.events import BehaviorEvent
from encoder.data.loaders.rows import Batch, Unusable

_EXAMPLES = 5
ITEM_NAME = "item_name"  # the attribute that carries an item's name for people


@dataclass
class LogReport:
    """What became of a file's rows: `rows == kept + duplicates + unparsable`."""

    kept: int = 0
    duplicates: int = 0  # rows with the user_id and event_id of an earlier row
    unparsable: int = 0
    examples: list[str] = field(default_factory=list)  # the first unparsable lines, with number and reason

    @property
    def rows(self) -> int:
        return self.kept + self.duplicates + self.unparsable

    def reject(self, line: int, raw: bytes, reason: str) -> None:
        self.unparsable += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"line {line}: {reason}: {raw[:120].decode(errors='replace')}")

    def counts(self) -> dict[str, int]:
        return {
            "rows": self.rows,
            "kept": self.kept,
            "duplicates": self.duplicates,
            "unparsable": self.unparsable,
        }

    def __str__(self) -> str:
        text = f"{self.rows:,} rows: {self.kept:,} kept, {self.duplicates:,} duplicates, {self.unparsable:,} unparsable"
        return "\n".join([text, *(f"  {example}" for example in self.examples)])


class _Codes(dict[str, int]):
    """Numbers names in the order in which they are first asked for."""

    def __missing__(self, name: str) -> int:
        self[name] = code = len(self)
        return code

    def of(self, names: Iterable[str], count: int) -> NDArray[np.int32]:
        return np.fromiter(map(self.__getitem__, names), dtype=np.int32, count=count)

    def of_optional(self, names: Iterable[str | None], count: int) -> NDArray[np.int32]:
        codes = (MISSING if name is None else self[name] for name in names)
        return np.fromiter(codes, dtype=np.int32, count=count)


class ColumnBuilder:
    """Collects batches; `log()` gives them as one EventLog sorted by time."""

    def __init__(self, source: str) -> None:
        self.report = LogReport()
        self._source = source
        self._codes = {name: _Codes() for name in ("user", "item", "action", "category", "session")}
        self._parts: dict[str, list[NDArray[np.generic]]] = {}
        self._attribute_codes: dict[str, _Codes] = {}
        self._attribute_parts: list[tuple[int, str, NDArray[np.int32]]] = []  # first row, attribute, codes
        self._item_names: dict[str, str] = {}
        self._seen: set[tuple[str, str]] = set()

    def add(self, batch: Batch) -> None:
        lines: list[int] = []
        events: list[BehaviorEvent] = []
        for line, raw, event in zip(batch.lines, batch.raw, batch.events, strict=True):
            if isinstance(event, Unusable):
                self.report.reject(line, raw, event.reason)
            else:
                lines.append(line)
                events.append(event)
        fresh = self._fresh(events)
        if len(fresh) < len(events):
            self.report.duplicates += len(events) - len(fresh)
            lines, events = [lines[row] for row in fresh], [events[row] for row in fresh]
        self._append(lines, events)
        self._append_attributes(events)
        self.report.kept += len(events)

    def _fresh(self, events: list[BehaviorEvent]) -> Sequence[int]:
        """The positions of the events that no earlier row had."""
        keys = [(event.user_id, event.event_id) for event in events]
        new = set(keys)
        if len(new) == len(keys) and self._seen.isdisjoint(new):  # as nearly always
            self._seen |= new
            return range(len(events))
        rows = []
        for row, key in enumerate(keys):
            if key not in self._seen:
                self._seen.add(key)
                rows.append(row)
        return rows

    def _append(self, lines: list[int], events: list[BehaviorEvent]) -> None:
        count = len(events)
        codes = self._codes
        columns: dict[str, NDArray[np.generic]] = {
            "user": codes["user"].of([e.user_id for e in events], count),
            "item": codes["item"].of([e.item_id for e in events], count),
            "action": codes["action"].of([e.action for e in events], count),
            "time_ms": np.array([e.event_time_ms for e in events], dtype=np.int64),
            "category": codes["category"].of_optional([e.category for e in events], count),
            "price": np.array([e.price for e in events], dtype=np.float64),  # None becomes nan
            "line": np.array(lines, dtype=np.int64),
            "event_ids": np.array([e.event_id for e in events], dtype=object),
            "session": codes["session"].of_optional([e.session_id for e in events], count),
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
            codes = self._attribute_codes.setdefault(name, _Codes())
            self._attribute_parts.append((self.report.kept, name, codes.of_optional(texts, len(texts))))

    def log(self) -> EventLog:
        if not self._parts:
            self._append([], [])
        columns = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        order = np.argsort(columns["time_ms"], kind="stable")
        attributes = {name: np.full(len(order), MISSING, dtype=np.int32) for name in self._attribute_codes}
        for start, name, part in self._attribute_parts:
            attributes[name][start : start + len(part)] = part
        session = columns.pop("session").astype(np.int32)[order]
        sorted_columns = {name: column[order] for name, column in columns.items()}
        return EventLog(
            user_ids=list(self._codes["user"]),
            item_ids=list(self._codes["item"]),
            actions=list(self._codes["action"]),
            categories=list(self._codes["category"]),
            source=self._source,
            session=Column(list(self._codes["session"]), session) if self._codes["session"] else None,
            attributes={name: Column(list(self._attribute_codes[name]), c[order]) for name, c in attributes.items()},
            item_names=self._item_names or None,
            **sorted_columns,
        )
