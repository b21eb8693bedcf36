"""Reads the lines of a text file, which may be compressed with gzip."""

import gzip
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from encoder.data.loaders.row_batches import BATCH_ROWS


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading. A file whose name ends in `.gz` is decompressed."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def line_batches(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Yield the lines without their line ends, BATCH_ROWS lines at a time."""
    while batch := [line.rstrip(b"\r\n") for line in islice(lines, BATCH_ROWS)]:
        yield batch
