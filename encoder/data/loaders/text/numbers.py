"""Reads numbers that are texts."""

import re

_WHOLE_FLOAT = re.compile(r"(-?(?:0|[1-9]\d*))\.0+")


def float_or_text(text: str) -> float | str:
    """The number, or the text itself where the text is no number. The judge decides what becomes of such a text."""
    try:
        return float(text)
    except ValueError:
        return text


def without_zero_fraction(text: str) -> str:
    """An id such as "7.0" or "7.00" as "7", which is also how an id in Parquet is read.

    pandas writes whole numbers as "7.0" when their column has missing values. Databases write the decimals of a column.
    """
    found = _WHOLE_FLOAT.fullmatch(text) if text.endswith("0") else None
    return text if found is None else found[1]
