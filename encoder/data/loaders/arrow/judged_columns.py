"""Judges columns of pyarrow: makes the columns of events, and tells which rows must be judged one by one."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pyarrow
from numpy.typing import NDArray

from encoder.data.contract.incoming_event import MAX_TEXT
from encoder.data.contract.prices import price_from_text
from encoder.data.contract.rejection import is_unicode
from encoder.data.event_ids import UNNAMED
from encoder.data.event_log import MISSING, Texts
from encoder.data.loaders.arrow.binary_arrays import binary_parts, dictionary_parts
from encoder.data.loaders.arrow.iso_times import parse_iso_times
from encoder.data.loaders.arrow.text_values import MAX_ATTRIBUTE_BYTES, TextRule, judge_texts, odd_texts
from encoder.data.loaders.assembly.event_columns import TEXT_COLUMNS, Coded, EventColumns
from encoder.data.loaders.columns.mapping import ATTRIBUTE_PREFIX
from encoder.data.loaders.text.times import UNITS

_MAX_ATTRIBUTES = 30  # rows with more attributes are read one by one, because they may make the record too large
_OPTIONAL = ("category", "session_id")
_REQUIRED = ("user_id", "item_id", "action")
_SCALE = {"ms": 1, "s": 1000}
_LAST_EXACT = 2**53 // 1000  # seconds; a float of so many milliseconds is exact


@dataclass(frozen=True)
class Rules:
    """What makes a row of columns an event."""

    time_unit: str  # a key of UNITS
    latest_ms: int  # later times are rejected
    first_plausible_ms: int = 0  # earlier times are rejected
    action: str | None = None  # of all rows; None: a column holds the action
    has_whole_numbers: bool = False  # whether an id such as "7.0" stands for "7"
    is_text_file: bool = True  # whether white space around a text is left out, and an empty text is a missing value

    def text_rule(self, name: str, *, has_quotes: bool) -> TextRule:
        """The rule for the texts of a field or of attributes.NAME. has_quotes: whether cells may be quoted."""
        spaces: Literal["strip", "keep", "refuse"] = "strip" if self.is_text_file else "keep"
        if has_quotes:  # white space inside of quotes is a part of the text
            spaces = "refuse"
        if name.startswith(ATTRIBUTE_PREFIX):
            return TextRule(False, False, MAX_ATTRIBUTE_BYTES, self.is_text_file, spaces)
        return TextRule(name not in _OPTIONAL, self.has_whole_numbers, MAX_TEXT, self.is_text_file, spaces)


def can_be_judged(action: str | None, names: Mapping[str, Any]) -> bool:
    """Whether events with this action, or None for a column, and these fields and attributes.NAME can be judged."""
    attributes = [name.removeprefix(ATTRIBUTE_PREFIX) for name in names if name.startswith(ATTRIBUTE_PREFIX)]
    texts = [*attributes, *([] if action is None else [action])]
    return len(attributes) <= _MAX_ATTRIBUTES and all(0 < len(text) <= MAX_TEXT and is_unicode(text) for text in texts)


@dataclass
class ColumnJudge:
    """Judges the columns of n rows."""

    rules: Rules
    rows: int
    has_quotes: bool = False  # whether cells may be quoted
    is_kept: NDArray[np.bool_] = field(init=False)  # (n,) which rows are events, as far as columns tell

    def __post_init__(self) -> None:
        self.is_kept = np.ones(self.rows, bool)

    def events(self, columns: Mapping[str, Any], unread: Collection[str] = ()) -> EventColumns:
        """The events of the rows that are kept. columns: field or attributes.NAME -> array of pyarrow with n values.

        A text is a dictionary array of binary values, and event ids are a binary array. A price is a float64 array or
        such a dictionary array. A time is an array of int64 or float64, or such a dictionary array.

        unread: fields and attributes.NAME that are judged and left out. They may be binary arrays.
        """
        for name in unread:
            self._judge_unread(name, columns[name])
        columns = {name: array for name, array in columns.items() if name not in unread}
        texts = {name: self._text(name, columns[name]) for name in TEXT_COLUMNS if name in columns}
        texts |= {name: self._text(name, array) for name, array in columns.items() if name.startswith(ATTRIBUTE_PREFIX)}
        if self.rules.action is not None:
            texts["action"] = Coded([self.rules.action], np.zeros(self.rows, np.int32))
        for name in TEXT_COLUMNS:
            texts.setdefault(name, Coded([], np.full(self.rows, MISSING, np.int32)))
        events = EventColumns(
            texts,
            self._time_ms(columns["event_time_ms"]),
            self._price(columns["price"]) if "price" in columns else np.full(self.rows, np.nan),
            self._event_ids(columns["event_id"]) if "event_id" in columns else None,
        )
        return events if self.is_kept.all() else events[self.is_kept]

    def _text(self, name: str, array: Any) -> Coded:
        codes, data, offsets = dictionary_parts(array)
        values, is_missing, is_kept = judge_texts(data, offsets, self.rules.text_rule(name, has_quotes=self.has_quotes))
        if not is_kept.all():
            self.is_kept &= np.append(is_kept, True)[codes]
        if array.null_count and name in _REQUIRED:
            self.is_kept &= codes != MISSING
        has_value = is_kept & ~is_missing
        if has_value.all():
            return Coded(values, codes)
        place = np.append(np.where(has_value, np.cumsum(has_value) - 1, MISSING), MISSING).astype(np.int32)
        if isinstance(values, Texts):
            return Coded(values[has_value], place[codes])
        return Coded([value for value, has in zip(values, has_value.tolist(), strict=True) if has], place[codes])

    def _judge_unread(self, name: str, array: Any) -> None:
        """Judge texts that are not kept."""
        if not pyarrow.types.is_dictionary(array.type):
            data, offsets = binary_parts(array)
            is_odd = odd_texts(data, offsets, self.rules.text_rule(name, has_quotes=self.has_quotes))
            is_odd |= _has_high_byte(data, offsets)
            if not (is_odd & (np.diff(offsets) > 0)).any():
                return  # empty texts are missing values
            array = array.dictionary_encode()
        self._text(name, array)

    def _event_ids(self, array: Any) -> Texts:
        if pyarrow.types.is_dictionary(array.type):  # the ids share their column with another text
            array = array.dictionary_decode()
        data, offsets = binary_parts(array)
        is_odd = odd_texts(data, offsets, self.rules.text_rule("event_id", has_quotes=self.has_quotes))
        size = np.diff(offsets)
        for row in np.flatnonzero((size == len(UNNAMED)) | _has_high_byte(data, offsets)).tolist():
            raw = data[offsets[row] : offsets[row + 1]].tobytes()
            text = raw.decode(errors="surrogateescape")
            is_odd[row] |= text == UNNAMED or not is_unicode(text)
        self.is_kept &= ~is_odd
        if array.null_count:
            self.is_kept &= np.asarray(array.is_valid())
        return Texts(data, offsets[:-1].astype(np.int64), size)

    def _time_ms(self, array: Any) -> NDArray[np.int64]:
        if pyarrow.types.is_dictionary(array.type):
            codes, data, offsets = dictionary_parts(array)
            time_ms, is_time = _times_of_texts(data, offsets, self.rules.time_unit)
            time_ms, is_time = np.append(time_ms, 0)[codes], np.append(is_time, False)[codes]
        else:
            is_time = np.asarray(array.is_valid())
            filled = array if not array.null_count else array.fill_null(0)
            values = filled.to_numpy()
            time_ms, is_whole = _times_of_numbers(values, self.rules.time_unit)
            is_time &= is_whole
        is_time &= (time_ms >= self.rules.first_plausible_ms) & (time_ms <= self.rules.latest_ms)
        self.is_kept &= is_time
        return time_ms

    def _price(self, array: Any) -> NDArray[np.float64]:
        if pyarrow.types.is_dictionary(array.type):
            codes, data, offsets = dictionary_parts(array)
            found = [_price_of_text(text) for text in _texts(data, offsets)]
            self.is_kept &= np.array([*(is_right for _, is_right in found), True])[codes]
            return np.array([*(value for value, _ in found), np.nan])[codes]
        price: NDArray[np.float64] = array.to_numpy(zero_copy_only=False)  # null becomes nan
        is_right = np.isfinite(price) & (price >= 0)
        if not self.rules.is_text_file:
            is_right |= np.isnan(price)  # a missing value, as null is
        elif array.null_count:
            is_right |= np.asarray(array.is_null())
        self.is_kept &= is_right
        return price


def _has_high_byte(data: NDArray[np.uint8], offsets: NDArray[np.int32]) -> NDArray[np.bool_]:
    part = data[offsets[0] : offsets[-1]]
    if not (part >= 128).any():
        return np.zeros(len(offsets) - 1, bool)
    is_high: NDArray[np.bool_] = np.diff(np.append(0, np.cumsum(part >= 128))[offsets - offsets[0]]) > 0
    return is_high


def _texts(data: NDArray[np.uint8], offsets: NDArray[np.int32]) -> list[str]:
    raw, places = data.tobytes(), offsets.tolist()
    return [raw[a:b].decode(errors="surrogateescape").strip() for a, b in pairwise(places)]


def _times_of_texts(
    data: NDArray[np.uint8], offsets: NDArray[np.int32], unit: str
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    time_ms, is_parsed = np.zeros(len(offsets) - 1, np.int64), np.zeros(len(offsets) - 1, bool)
    if unit == "iso":
        time_ms, is_parsed = parse_iso_times(data, offsets)
    parse: Callable[[str], int] = UNITS[unit]
    others = np.flatnonzero(~is_parsed)
    for row in others.tolist():
        text = data[offsets[row] : offsets[row + 1]].tobytes().decode(errors="surrogateescape").strip()
        try:
            time_ms[row] = parse(text)
            is_parsed[row] = True
        except (ValueError, OverflowError):
            continue
    return time_ms, is_parsed


def _times_of_numbers(values: NDArray[Any], unit: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    is_time = np.abs(values) < (_LAST_EXACT if unit == "s" else 2**53)  # nan is no time
    number = np.where(is_time, values, 0)
    if unit == "ms" and values.dtype != np.int64:
        is_time &= number == np.floor(number)
    return np.rint(number * _SCALE[unit]).astype(np.int64), is_time


def _price_of_text(text: str) -> tuple[float, bool]:
    """The price of a text, and whether the text is a price or no text at all."""
    if not text:
        return np.nan, True
    price = price_from_text(text)
    is_right = price is not None and np.isfinite(price) and price >= 0
    return (float(price), True) if price is not None and is_right else (np.nan, False)
