"""Splits a line into cells."""

import re
from functools import lru_cache


def split_cells(text: str, separator: str) -> list[str]:
    """The cells of a line, without white space around them.

    Where the separator is one character and no tab, a cell in double quotes may contain the separator, white space
    around the text, and "" for a quote (RFC 4180). A quote that does not close at the end of its cell is a part of the
    text. Files with tabs know no quoting.
    """
    if '"' in text and len(separator) == 1 and separator != "\t":
        return _split_quoted(text, separator)
    return [cell.strip() for cell in text.split(separator)]


def _split_quoted(text: str, separator: str) -> list[str]:
    cells: list[str] = []
    match, at = _cell(separator).match, 0
    while True:
        found = match(text, at)
        assert found is not None, "a cell may be any text"
        quoted, plain, end = found.groups()
        cells.append(plain.strip() if quoted is None else quoted.replace('""', '"'))
        if not end:
            return cells
        at = found.end()


@lru_cache
def _cell(separator: str) -> re.Pattern[str]:
    """Matches a cell and the separator behind the cell. The quantifiers do not go back, so that a match is linear."""
    escaped = re.escape(separator)
    quoted = r'[^\S\n]*+"((?:[^"]++|"")*+)"\s*+(?=' + escaped + r"|\Z)"
    return re.compile(rf"(?:{quoted}|([^{escaped}]*+))({escaped}|\Z)")
