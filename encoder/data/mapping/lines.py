"""The lines of a record, such as the products of an order: the key `each` of a mapping file."""

from typing import Any

import msgspec

from encoder.data.contract.quoting import quote_json
from encoder.data.contract.rejection import Rejection
from encoder.data.mapping.paths import Step, follow, parse_path

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
        levels = path.split(_LEVEL)
        if not path or len(levels) > _MOST_LEVELS:
            raise ValueError(f"{path!r} is no path of lists: write `items`, or `actions[].items` for lists in a list")
        self.path = path
        self._levels = [parse_path(level) for level in levels]

    def of(self, value: Any) -> list[tuple[Any, Any]] | Rejection | None:
        """The pairs (line, parent) of a record's value in order, or None where the record has no list."""
        outer = self._list(value, self._levels[0])
        if not isinstance(outer, list) or len(self._levels) == 1:
            return [(line, None) for line in outer] if isinstance(outer, list) else outer
        pairs: list[tuple[Any, Any]] = []
        for parent in outer:
            inner = self._list(parent, self._levels[1])
            if isinstance(inner, Rejection):
                return inner
            pairs += [(line, parent) for line in inner or [None]]
        return pairs

    def _list(self, value: Any, steps: tuple[Step, ...]) -> list[Any] | Rejection | None:
        found = follow(value, steps)
        if isinstance(found, str):
            try:
                found = _decode(found)
            except (ValueError, RecursionError):
                pass
        if found is None or isinstance(found, list):
            return found
        if isinstance(found, tuple):
            return list(found)
        return Rejection(f"{self.path} is {quote_json(found)}: a list of lines is expected", "value")
