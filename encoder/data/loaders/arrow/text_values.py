"""Judges the distinct texts of a column: which are fields of an event as they are, and which need more than that.

A text is kept only if the rows with the text, read one by one, have the same text. All other texts are left to the
judge of rows.
"""

from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.data.contract.incoming_event import MAX_TEXT
from encoder.data.contract.rejection import is_unicode
from encoder.data.event_log import Texts
from encoder.data.loaders.text.numbers import without_zero_fraction

MAX_ATTRIBUTE_BYTES = 1024  # longer attributes are read row by row, because they may make the record too large
_SPACE, _DELETE, _ZERO, _DOT = 0x20, 0x7F, ord("0"), ord(".")


class TextRule(NamedTuple):
    """How the cells of a column become texts."""

    is_required: bool  # an empty text is no value
    has_whole_numbers: bool = False  # a text such as "7.0" stands for "7"
    longest: int = MAX_TEXT
    is_empty_missing: bool = True  # an empty text that is not required is a missing value
    # strip: white space around the text is left out. keep: white space is a part of the text. refuse: texts with white
    # space around them are left to the rows.
    spaces: Literal["strip", "keep", "refuse"] = "strip"


class JudgedTexts(NamedTuple):
    """n texts after the judge."""

    values: Texts | list[str]  # with any text in the place of a text that is not kept
    is_missing: NDArray[np.bool_]  # (n,)
    is_kept: NDArray[np.bool_]  # (n,) also missing values are kept


def judge_texts(data: NDArray[np.uint8], offsets: NDArray[np.int32], rule: TextRule) -> JudgedTexts:
    """Judge n texts. data: the bytes of all texts. offsets: (n + 1,) where each text begins and where the last ends."""
    is_odd = odd_texts(data, offsets, rule)
    raw = data[offsets[0] : offsets[-1]].tobytes()
    starts = offsets - offsets[0]
    if not (raw.isascii() or _is_utf8(raw)):
        is_odd |= np.diff(np.append(0, np.cumsum(np.frombuffer(raw, np.uint8) >= 128))[starts]) > 0
    is_missing, is_kept = np.zeros(len(is_odd), bool), np.ones(len(is_odd), bool)
    changed: dict[int, str] = {}
    for row in np.flatnonzero(is_odd).tolist():
        text = raw[starts[row] : starts[row + 1]].decode(errors="surrogateescape")
        value = _as_field(text, rule)
        is_missing[row] = value == "" and rule.is_empty_missing
        is_kept[row] = value is not None
        if value is not None and value != text:
            changed[row] = value
    if not changed:
        return JudgedTexts(Texts(data, offsets[:-1].astype(np.int64), np.diff(offsets)), is_missing, is_kept)
    values = [raw[begin:end].decode(errors="replace") for begin, end in pairwise(starts.tolist())]
    for row, value in changed.items():
        values[row] = value
    return JudgedTexts(values, is_missing, is_kept)


def odd_texts(data: NDArray[np.uint8], offsets: NDArray[np.int32], rule: TextRule) -> NDArray[np.bool_]:
    """(n,) which texts need more than a look at their length and at their first and last byte."""
    size = np.diff(offsets)
    has_bytes = size > 0
    last_offset = max(0, len(data) - 1)
    padded = data if len(data) else np.zeros(1, np.uint8)
    first = padded[np.minimum(offsets[:-1], last_offset)]
    last = padded[np.maximum(offsets[1:] - 1, 0)]
    is_odd: NDArray[np.bool_] = ~has_bytes | (size > rule.longest)
    for edge in (first, last):
        is_odd |= (edge <= _SPACE) | (edge >= _DELETE)  # control characters, white space, and all outside ASCII
    if rule.has_whole_numbers:
        dots = np.flatnonzero(data[offsets[0] : offsets[-1]] == _DOT) + offsets[0]
        if len(dots):
            row = np.searchsorted(offsets, dots, side="right") - 1
            is_odd[row] |= last[row] == _ZERO
    return is_odd


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _as_field(text: str, rule: TextRule) -> str | None:
    """The text as the judge of rows leaves it, or None where the rows must be judged one by one."""
    stripped = text if rule.spaces == "keep" else text.strip()
    if stripped != text and rule.spaces == "refuse":
        return None
    value = without_zero_fraction(stripped) if rule.has_whole_numbers else stripped
    if len(value) > rule.longest or not is_unicode(value):
        return None
    return value if value or not rule.is_required else None
