"""The part of a record's value that a mapping reads, as a type for msgspec.

A decoder of this type leaves out what the mapping does not read. For calls of Segment, that takes half of the time of a
decoder of everything (docs/decisions.md#what-a-mapping-decodes).
"""

from collections.abc import Iterable
from types import GenericAlias
from typing import Any, TypedDict

from encoder.data.mapping.sources.paths import Step

Path = tuple[Step, ...]
_typed_dict: Any = TypedDict  # whose names are known only here


class _Node:
    """A place in the value. is_whole: the mapping reads the place as it is. lines: the elements of the list there."""

    def __init__(self) -> None:
        self.is_whole = False
        self.names: dict[str, _Node] = {}
        self.lines: _Node | None = None

    def at(self, path: Path) -> "_Node":
        """The node at the names of the path, up to the first step that is no name."""
        node = self
        for step in path:
            if not isinstance(step, str):
                break
            node = node.names.setdefault(step, _Node())
        return node

    def type(self) -> Any:
        """The type of values here, which may be absent. A text may hold JSON."""
        if self.is_whole or (self.lines is None) == (not self.names):
            return Any
        if self.lines is not None:
            return GenericAlias(list, (self.lines.object_type(),)) | str | None
        return self.object_type() | str | None

    def object_type(self) -> Any:
        """The type of an object here. Any where the whole object is needed."""
        if self.is_whole or not self.names:
            return Any
        return _typed_dict("Part", {name: node.type() for name, node in self.names.items()}, total=False)


def value_type(paths: Iterable[Path], lines: Path | None, line_paths: Iterable[Path]) -> Any:
    """The type that a decoder of values needs. A value of another shape must be decoded as a whole.

    paths: in the value, without that of the list of lines. lines: the path of this list; None: the records have none,
    or the list holds further lists. line_paths: in a line; a path without steps is the whole line.
    """
    root = _Node()
    for path in paths:
        root.at(path).is_whole = True
    if lines:
        of_lines = root.at(lines).lines = _Node()
        for path in line_paths:
            of_lines.at(path).is_whole = True
    return root.object_type()
