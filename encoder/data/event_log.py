"""The event log: behaviour events in columns, sorted by event time.

This module needs neither torch nor I/O. `encoder.data.loaders` fills a log from files, and `encoder.data.simulator`
fills a log with simulated events.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_ids import EqualEvents, content_id
from encoder.data.events import BehaviorEvent
from encoder.errors import InputError

MISSING = -1


class Column(NamedTuple):
    """A dictionary-encoded column of texts: row r has `values[codes[r]]`. The code MISSING stands for no value."""

    values: list[str]
    codes: NDArray[np.int32]  # (n,)


class Texts:
    """n texts without an object for each: the UTF-8 of all texts, and where each text begins and how long it is."""

    def __init__(self, data: NDArray[np.uint8], start: NDArray[np.int64], size: NDArray[np.int32]) -> None:
        """data: (bytes,). start, size: (n,) in bytes."""
        self.data, self.start, self.size = data, start, size

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Texts":
        """The texts one after another."""
        encoded = [text.encode() for text in texts]
        size = np.array([len(text) for text in encoded], np.int32)
        return cls.in_a_row(np.frombuffer(b"".join(encoded), np.uint8), size)

    @classmethod
    def in_a_row(cls, data: NDArray[np.uint8], size: NDArray[np.int32]) -> "Texts":
        """The texts of these sizes in bytes, which follow each other in `data`."""
        end = np.cumsum(size, dtype=np.int64)
        return cls(data, end - size, size)

    @classmethod
    def joined(cls, parts: "Sequence[Texts]") -> "Texts":
        """The texts of the first part, then those of the second part, and so on."""
        lengths = np.array([0, *(len(part.data) for part in parts)], np.int64)
        starts = [part.start + before for part, before in zip(parts, np.cumsum(lengths), strict=False)]
        none = cls.of([])
        return cls(
            np.concatenate([none.data, *(part.data for part in parts)]),
            np.concatenate([none.start, *starts]),
            np.concatenate([none.size, *(part.size for part in parts)]),
        )

    def __len__(self) -> int:
        return len(self.size)

    def __getitem__(self, rows: "slice | NDArray[np.bool_] | NDArray[np.intp]") -> "Texts":
        return Texts(self.data, self.start[rows], self.size[rows])

    def __iter__(self) -> Iterator[str]:
        """Yield the texts. Raises UnicodeDecodeError for bytes that are not UTF-8."""
        packed = self.packed()
        text, end = packed.data.tobytes().decode(), np.cumsum(packed.size, dtype=np.int64)
        if len(text) != len(packed.data):  # the sizes are in bytes, and a character may have several bytes
            end = np.append(0, np.cumsum((packed.data & 0xC0) != 0x80))[end]
        return (text[begin:end] for begin, end in pairwise([0, *end.tolist()]))

    def packed(self) -> "Texts":
        """The same texts, whose bytes follow each other from the first byte of `data` to its last."""
        end = np.cumsum(self.size, dtype=np.int64)
        total = int(end[-1]) if len(end) else 0
        begin = int(self.start[0]) if len(end) else 0
        if (self.start - begin == end - self.size).all():
            return Texts(self.data[begin : begin + total], end - self.size, self.size)
        places = np.repeat(self.start - (end - self.size), self.size) + np.arange(total)
        return Texts(self.data[places], end - self.size, self.size)


@dataclass(frozen=True)
class EventLog:
    """n events, sorted by event time. Events with equal times keep the order of the source.

    A part of a log (`log[a:b]`, `split`) shares the lists of ids and texts with the whole log. A code therefore means
    the same in every part.
    """

    user_ids: list[str]
    item_ids: list[str]
    actions: list[str]
    categories: list[str]
    user: NDArray[np.int32]  # (n,) position in user_ids
    item: NDArray[np.int32]  # (n,) position in item_ids
    action: NDArray[np.int8] | NDArray[np.int32]  # (n,) position in actions; int8 where all positions fit
    time_ms: NDArray[np.int64]  # (n,) milliseconds since 1970-01-01 UTC
    category: NDArray[np.int32]  # (n,) position in categories, or MISSING
    price: NDArray[np.float64]  # (n,) nan when the event has no price
    source: str = "log"  # where the events come from; the prefix of generated event ids
    # (n,) An event whose id is empty gets an id that `encoder.data.event_ids` makes of the event. None: all events get
    # such ids.
    event_ids: Texts | None = None
    session: Column | None = None
    attributes: dict[str, Column] = field(default_factory=dict)
    item_names: dict[str, str] | None = None  # item id -> name that people read

    def __len__(self) -> int:
        return len(self.time_ms)

    def __getitem__(self, rows: "slice | NDArray[np.bool_] | NDArray[np.intp]") -> "EventLog":
        """The events at `rows`, which is a slice, a mask (n,) bool, or ascending positions (m,) int."""
        columns = {
            name: getattr(self, name)[rows] for name in ("user", "item", "action", "time_ms", "category", "price")
        }
        return replace(
            self,
            **columns,
            event_ids=None if self.event_ids is None else self.event_ids[rows],
            session=None if self.session is None else Column(self.session.values, self.session.codes[rows]),
            attributes={name: Column(values, codes[rows]) for name, (values, codes) in self.attributes.items()},
        )

    def cut_ms(self, fraction: float) -> int:
        """The time in milliseconds before which `fraction` of the events lie: the time of event ⌊fraction · n⌋.

        Raises InputError when `fraction` is not between 0 and 1, and when the log is empty.
        """
        if not 0.0 <= fraction <= 1.0:
            raise InputError(f"fraction {fraction} of a log: give a number from 0 to 1")
        if not len(self):
            raise InputError("an empty log has no point in time to cut at")
        position = int(fraction * len(self))
        return int(self.time_ms[position]) if position < len(self) else int(self.time_ms[-1]) + 1

    def split(self, fraction: float) -> "tuple[EventLog, EventLog]":
        """Split the log at `cut_ms(fraction)`. Returns the events before that time, and the events from then on.

        Events of the same millisecond stay together, so every event of the first part is earlier than every event of
        the second part.
        """
        position = int(np.searchsorted(self.time_ms, self.cut_ms(fraction), side="left"))
        return self[:position], self[position:]

    def later_events(self) -> NDArray[np.int64]:
        """(n,) how many later events of the log each event's user has. A user's last event has 0."""
        order = np.argsort(self.user, kind="stable")
        user = self.user[order]
        later = np.empty(len(self), np.int64)
        later[order] = np.searchsorted(user, user, side="right") - 1 - np.arange(len(self))
        return later

    def followed_by(self, later: "EventLog") -> "EventLog":
        """The events of this log, and then those of `later`. Both are parts of one log, and the other part is later."""
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(self, name), getattr(later, name)])
            for name in ("user", "item", "action", "time_ms", "category", "price")
        }
        if self.event_ids is not None and later.event_ids is not None:
            columns["event_ids"] = Texts.joined([self.event_ids, later.event_ids])
        if self.session is not None and later.session is not None:
            columns["session"] = _joined(self.session, later.session)
        attributes = {name: _joined(column, later.attributes[name]) for name, column in self.attributes.items()}
        return replace(self, **columns, attributes=attributes)

    def events(self) -> Iterator[BehaviorEvent]:
        """Yield the rows as events, in order of time. All attribute values are strings."""
        ids = self._event_ids()
        sessions = _decoded(self.session, len(self))
        attributes = {name: _decoded(column, len(self)) for name, column in self.attributes.items()}
        users, items, actions = self.user.tolist(), self.item.tolist(), self.action.tolist()
        categories = _decoded(Column(self.categories, self.category), len(self))
        for row, (time_ms, price) in enumerate(zip(self.time_ms.tolist(), self.price.tolist(), strict=True)):
            item_id = self.item_ids[items[row]]
            extra: dict[str, str | int | float] = {
                name: value for name, column in attributes.items() if (value := column[row]) is not None
            }
            if self.item_names and item_id in self.item_names:
                extra["item_name"] = self.item_names[item_id]
            yield BehaviorEvent(
                event_id=ids[row],
                user_id=self.user_ids[users[row]],
                item_id=item_id,
                action=self.actions[actions[row]],
                event_time_ms=time_ms,
                session_id=sessions[row],
                category=categories[row],
                price=None if math.isnan(price) else price,
                attributes=extra or None,
            )

    def _event_ids(self) -> list[str]:
        own_ids = [""] * len(self) if self.event_ids is None else list(self.event_ids)
        equal_events = EqualEvents()
        users, items, actions = self.user.tolist(), self.item.tolist(), self.action.tolist()
        for row, time_ms in enumerate(self.time_ms.tolist()):
            if not own_ids[row]:
                user_id, item_id = self.user_ids[users[row]], self.item_ids[items[row]]
                made_id = content_id(self.source, user_id, item_id, self.actions[actions[row]], time_ms)
                own_ids[row] = equal_events.unique_id(made_id, time_ms)
        return own_ids


def _joined(one: Column, other: Column) -> Column:
    return Column(one.values, np.concatenate([one.codes, other.codes]))


def _decoded(column: Column | None, rows: int) -> list[str | None]:
    if column is None:
        return [None] * rows
    values: list[str | None] = [*column.values, None]  # MISSING is -1, which is the index of this None
    return [values[code] for code in column.codes.tolist()]
