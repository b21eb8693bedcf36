"""Writes the body of a function of Python that reads a record. The sources of a mapping write their parts.

One function without a loop over the fields takes a quarter of the time of a closure for each source. See
docs/decisions.md#generated-code-for-mappings.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from encoder.data.mapping.sources.paths import Step

# The parameters of a written function. `number` is the number of the line from 1 on.
PARAMETERS = "value, key=None, headers=(), timestamp_ms=-1, line=None, parent=None, number=0"
ReadPaths = set[tuple[str, tuple[Step, ...]]]  # places with the steps into what stands there
_NOTHING: dict[str, Any] = {}
_INDENT = "    "
_decode = msgspec.json.Decoder().decode


class Writer:
    """Collects the lines of one function."""

    def __init__(self, name: str, absent: frozenset[str] = frozenset(), paths: "ReadPaths | None" = None) -> None:
        """absent: the places that the records of this function do not have. paths: takes what the function reads."""
        self.absent = absent
        self.paths: ReadPaths = set() if paths is None else paths
        self._name = name
        self._lines: list[str] = []
        self._depth = 1
        self._names: dict[str, Any] = {"as_object": _as_object}
        self._objects: dict[tuple[str, tuple[Step, ...]], str] = {}
        self._next = 0

    def line(self, text: str) -> None:
        """Add a line of the body."""
        self._lines.append(_INDENT * self._depth + text)

    def indent(self, head: str) -> None:
        """Add a line that begins a block. The lines that follow stand in the block."""
        self.line(head)
        self._depth += 1

    def dedent(self, blocks: int = 1) -> None:
        """End the innermost blocks."""
        self._depth -= blocks

    def variable(self) -> str:
        """A new name of a local variable."""
        self._next += 1
        return f"v{self._next}"

    def constant(self, value: Any) -> str:
        """A name that stands for the value in the function."""
        self._next += 1
        name = f"c{self._next}"
        self._names[name] = value
        return name

    def object_at(self, place: str, names: tuple[Step, ...]) -> str:
        """The variable that holds the object at the names below the place, as a dictionary.

        The first call adds the lines that read the object. The dictionary is empty where there is no object.
        """
        known = self._objects.get((place, names))
        if known is not None:
            return known
        read = f"{self.object_at(place, names[:-1])}.get({names[-1]!r})" if names else place
        found = self.variable()
        self.line(f"{found} = {read}")
        self.line(f"if {found}.__class__ is not dict: {found} = as_object({found})")
        self._objects[place, names] = found
        return found

    def function(self) -> Callable[..., Any]:
        """The finished function of PARAMETERS."""
        text = "\n".join([f"def {self._name}({PARAMETERS}):", *self._lines])
        # Each name and text of the mapping file stands in the code as a literal by `repr`, or is a constant.
        exec(compile(text, f"<mapping {self._name}>", "exec"), self._names)
        function: Callable[..., Any] = self._names[self._name]
        return function


def _as_object(value: Any) -> dict[str, Any]:
    """A JSON text or the bytes of a key as the object that stands in the text. Empty for other values."""
    if isinstance(value, str | bytes):
        try:
            value = _decode(value)
        except (ValueError, RecursionError):
            return _NOTHING
    return value if isinstance(value, dict) else _NOTHING
