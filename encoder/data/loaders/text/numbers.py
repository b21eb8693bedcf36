"""Reads numbers that are texts."""

import re

_WHOLE_FLOAT = re.compile(r"-?(?:0|[1-9]\d*)\.0")


def float_or_text(text: str) -> float | str:
    """The number, or the text itself where the text is no number. The judge decides what becomes of such a text."""
    try:
        return float(text)
    except ValueError:
        return text


def without_zero_fraction(text: str) -> str:
    """An id such as "7.0" as "7". pandas writes whole numbers in this way when their column has missing values."""
    return text[:-2] if text.endswith(".0") and _WHOLE_FLOAT.fullmatch(text) else text
