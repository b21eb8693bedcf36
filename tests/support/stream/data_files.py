"""Files of services that run: Cassandra and Kafka create and delete files while a test reads them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def files_where(folder: Path, holds: Callable[[bytes], bool]) -> list[Path]:
    """Return the files below the folder whose content `holds` accepts. A file that is deleted meanwhile is left out."""
    return [path for path in sorted(_files(folder)) if holds(_content(path))]


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):  # passes over a folder that is deleted meanwhile, unlike Path.rglob
        yield from (path for name in names if (path := Path(parent, name)).is_file())


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
