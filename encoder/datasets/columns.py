"""Turns batches of rows into an event log in columns, counting what is left out."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from encoder.datasets.rows import Batch
from encoder.events import BehaviorEvent
from encoder.log import MISSING, Column, EventLog

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
        self._attributes: dict[str, tuple[_Codes, list[int], list[int]]] = {}  # name -> codes, rows, codes of the rows
        self._item_names: dict[str, str] = {}
        self._seen: set[tuple[str, str]] = set()

    def add(self, batch: Batch) -> None:
        lines: list[int] = []
        events: list[BehaviorEvent] = []
        for row, event in enumerate(batch.events):
            if isinstance(event, str):
                self.report.reject(batch.first_line + row, batch.raw[row], event)
            else:
                lines.append(batch.first_line + row)
                events.append(event)
        fresh = [self._is_fresh(event) for event in events]
        if not all(fresh):
            self.report.duplicates += fresh.count(False)
            lines, events = list(compress(lines, fresh)), list(compress(events, fresh))
        self._append(lines, events)
        self.report.kept += len(events)

    def _is_fresh(self, event: BehaviorEvent) -> bool:
        before = len(self._seen)
        self._seen.add((event.user_id, event.event_id))
        return len(self._seen) > before

    def _append(self, lines: list[int], events: list[BehaviorEvent]) -> None:
        count = len(events)
        codes = self._codes
        columns: dict[str, NDArray[np.generic]] = {
            "user": codes["user"].of((e.user_id for e in events), count),
            "item": codes["item"].of((e.item_id for e in events), count),
            "action": codes["action"].of((e.action for e in events), count),
            "time_ms": np.array([e.event_time_ms for e in events], dtype=np.int64),
            "category": codes["category"].of_optional((e.category for e in events), count),
            "price": np.array([np.nan if e.price is None else e.price for e in events], dtype=np.float64),
            "line": np.array(lines, dtype=np.int64),
            "event_ids": np.array([e.event_id for e in events], dtype=object),
            "session": codes["session"].of_optional((e.session_id for e in events), count),
        }
        for name, column in columns.items():
            self._parts.setdefault(name, []).append(column)
        for row, event in enumerate(events, self.report.kept):
            if event.attributes:
                self._add_attributes(row, event)

    def _add_attributes(self, row: int, event: BehaviorEvent) -> None:
        for name, value in (event.attributes or {}).items():
            if name == ITEM_NAME:
                self._item_names[event.item_id] = str(value)
                continue
            if name not in self._attributes:
                self._attributes[name] = (_Codes(), [], [])
            codes, rows, values = self._attributes[name]
            rows.append(row)
            values.append(codes[str(value)])

    def log(self) -> EventLog:
        if not self.report.kept:
            self._append([], [])
        columns = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        order = np.argsort(columns["time_ms"], kind="stable")
        attributes = {}
        for name, (codes, rows, values) in self._attributes.items():
            column = np.full(self.report.kept, MISSING, dtype=np.int32)
            column[rows] = values
            attributes[name] = Column(list(codes), column[order])
        session = columns.pop("session").astype(np.int32)[order]
        sorted_columns = {name: column[order] for name, column in columns.items()}
        return EventLog(
            user_ids=list(self._codes["user"]),
            item_ids=list(self._codes["item"]),
            actions=list(self._codes["action"]),
            categories=list(self._codes["category"]),
            source=self._source,
            session=Column(list(self._codes["session"]), session) if self._codes["session"] else None,
            attributes=attributes,
            item_names=self._item_names or None,
            **sorted_columns,
        )
