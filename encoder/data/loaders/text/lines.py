"""Reads the lines of a text file, which may be compressed with gzip."""

import codecs
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

BATCH_LINES = 8192
_GZIP = b"\x1f\x8b"  # the first bytes of a gzip file, https://www.rfc-editor.org/rfc/rfc1952#page-6

NumberedLine = tuple[int, bytes]  # number of the line in the file, counted from 1, and the line without its line end


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading. A file that begins as a gzip file is decompressed, whatever its name."""
    with path.open("rb") as file:
        if file.peek(len(_GZIP))[: len(_GZIP)] == _GZIP:
            with gzip.GzipFile(fileobj=file) as plain:
                yield cast(BinaryIO, plain)
        else:
            yield file


def numbered_lines(file: BinaryIO) -> Iterator[NumberedLine]:
    """Yield the lines of a file, without blank lines and without a byte order mark at the beginning."""
    for number, line in enumerate(file, 1):
        text = (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).rstrip(b"\r\n")
        if text and not text.isspace():
            yield number, text


def line_batches(lines: Iterator[NumberedLine]) -> Iterator[tuple[list[int], list[bytes]]]:
    """Yield the numbers and the texts of BATCH_LINES lines at a time."""
    while batch := list(islice(lines, BATCH_LINES)):
        yield [number for number, _ in batch], [text for _, text in batch]
