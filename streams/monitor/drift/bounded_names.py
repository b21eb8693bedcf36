"""Names that producers choose, in bounded number. Pure."""

OTHER = "other"


class BoundedNames:
    """Keeps the first names that come, and calls all further ones OTHER, so that a label has few values."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._names: set[str] = set()

    def name(self, value: str) -> str:
        """The value itself, or OTHER."""
        if value in self._names:
            return value
        if len(self._names) >= self._most:
            return OTHER
        self._names.add(value)
        return value
