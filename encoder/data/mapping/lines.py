"""The lines of a record, such as the products of an order: the key `each` of a mapping file."""

from contextlib import suppress
from typing import Any

import msgspec

from encoder.data.contract.quoting import quote_json
from encoder.data.contract.rejection import Rejection
from encoder.data.mapping.records import Skipped, SkipReason
from encoder.data.mapping.sources.paths import follow, parse_path
from encoder.data.mapping.sources.source import path_source

_LEVEL = "[]."
_MOST_LEVELS = 2
_decode = msgspec.json.Decoder().decode


class Lines:
    """Finds the lines of a record.

    The path `items` names one list. The path `actions[].items` names a list inside each element of a list. The element
    is then the parent of its lines. An element without such a list is a parent with one line that is None.
    """

    def __init__(self, path: str) -> None:
        """Raises ValueError when the path is none."""
        levels = path.split(_LEVEL) if isinstance(path, str) else []
        if not path or not 0 < len(levels) <= _MOST_LEVELS:
            raise ValueError(f"{path!r} is no path of lists: write `items`, or `actions[].items` for lists in a list")
        outer, *inner = [parse_path(level) for level in levels]
        self._path = path
        self._inner = inner[0] if inner else None
        # The path of the only list; None where the lines stand in further lists.
        self.names = outer if self._inner is None and all(isinstance(step, str) for step in outer) else None
        self.source = path_source("value", outer, path)  # of the list of the record, which may be a text with JSON

    def pairs(self, found: Any) -> list[tuple[Any, Any]] | Skipped | Rejection:
        """The pairs (line, parent) in order. found: the value of `source` in a record, not None."""
        outer = self._list(found)
        if isinstance(outer, Rejection):
            return outer
        if not outer:
            return Skipped(SkipReason.NO_LINES, f"{self._path} is []")
        if self._inner is None:
            return [(line, None) for line in outer]
        pairs: list[tuple[Any, Any]] = []
        for parent in outer:
            found = follow(parent, self._inner)
            inner = [] if found is None else self._list(found)
            if isinstance(inner, Rejection):
                return inner
            pairs += [(line, parent) for line in inner or [None]]
        return pairs

    def _list(self, found: Any) -> list[Any] | Rejection:
        value = found
        if isinstance(found, str):
            with suppress(ValueError, RecursionError):
                value = _decode(found)
        if isinstance(value, list | tuple):
            return list(value)
        return Rejection(f"{self._path} is {quote_json(found)}: a list of lines is expected", "value")
