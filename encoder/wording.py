"""Words of messages that depend on a count. Pure."""


def counted(count: int, one: str, several: str | None = None) -> str:
    """A count with its noun, such as "1 worker" and "2,000 workers".

    several: the words for other counts than 1, where they are not `one` with an s.
    """
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"
