"""Reads the lines of a text file, which may be compressed with gzip or zstd."""

import codecs
import gzip
import importlib.util
import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from encoder.errors import InputError

BATCH_LINES = 8192
_ZSTD_BUFFER_BYTES = 1 << 16
_GZIP = b"\x1f\x8b"  # the first bytes of a gzip file, https://www.rfc-editor.org/rfc/rfc1952#page-6
_ZSTD = b"\x28\xb5\x2f\xfd"  # of a zstd file, https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1
_UTF16 = "text in UTF-16: convert the file to UTF-8, for example with `iconv -f UTF-16 -t UTF-8`"
# How files begin that are no text, and what to do with them. No text in UTF-8 begins in this way.
_NO_TEXT = {
    _GZIP: "compressed twice, the inner time with gzip: decompress the file once with `gunzip` or `unzstd`",
    _ZSTD: "compressed twice, the inner time with zstd: decompress the file once with `gunzip` or `unzstd`",
    b"\xfd7zXZ\0": "compressed with xz: decompress the file with `unxz`, or compress it with gzip",
    b"BZh91AY&SY": "compressed with bzip2: decompress the file with `bunzip2`, or compress it with gzip",
    b"PK\x03\x04": "an archive of zip: unpack the archive",
    b"PAR1\x15": "a Parquet file: read the file with --format parquet",
    codecs.BOM_UTF16_LE: _UTF16,
    codecs.BOM_UTF16_BE: _UTF16,
}
_LONGEST = max(map(len, _NO_TEXT))

NumberedLine = tuple[int, bytes]  # number of the line in the file, counted from 1, and the line without its line end


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading. A file that begins as a gzip or zstd file is decompressed, whatever its name.

    Raises InputError for a file that is no text: compressed in another way, Parquet, or UTF-16. Raises InputError for
    zstd without pyarrow.
    """
    with path.open("rb") as file:
        head = file.peek(len(_ZSTD))
        if head.startswith(_GZIP):
            with gzip.GzipFile(fileobj=file) as plain:
                _check_is_text(plain.peek(_LONGEST), path)
                yield cast(BinaryIO, plain)
        elif head.startswith(_ZSTD):
            with _without_zstd(file, path) as plain:
                _check_is_text(plain.peek(_LONGEST), path)
                yield plain
        else:
            _check_is_text(file.peek(_LONGEST), path)
            yield file


def _without_zstd(file: BinaryIO, path: Path) -> io.BufferedReader:
    if importlib.util.find_spec("pyarrow") is None:
        raise InputError(
            f"{path} is compressed with zstd, which needs pyarrow: install Thalweg with its `train` extra, or "
            "decompress the file with `unzstd`"
        )
    import pyarrow

    return io.BufferedReader(pyarrow.CompressedInputStream(file, "zstd"), _ZSTD_BUFFER_BYTES)


def _check_is_text(head: bytes, path: Path) -> None:
    """head: the first bytes of the file, decompressed."""
    for beginning, what in _NO_TEXT.items():
        if head.startswith(beginning):
            raise InputError(f"{path} is {what}")


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
