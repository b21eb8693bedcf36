"""The rows of an archive in a local folder, in the order in which the stream reads the records."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streams.config.errors import InputError

ARCHIVE_FILE = "archive.json"
FORMAT = 1
_SEGMENT = re.compile(r"partition=(\d+)/\d+-\d+\.json$")
_BATCH_ROWS = 1 << 16


class _Header(msgspec.Struct):
    format: int
    topic: str


class _File(msgspec.Struct):
    path: str


class _Segment(msgspec.Struct):
    first: int
    last: int
    files: list[_File]


class _Place(NamedTuple):
    partition: int
    segment: _Segment


def is_archive(log: str) -> bool:
    """Whether a log that a user named is an archive of the behaviour topic."""
    return (Path(log) / ARCHIVE_FILE).is_file()


def read_archive(folder: Path) -> Iterator[Any]:
    """Yield the rows as record batches of pyarrow: partition after partition, in order of offset and line.

    Raises InputError where a file cannot be read, where the format is unknown, and where segments are missing.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        for place in _places(folder):
            tables = [pyarrow.parquet.read_table(folder / one.path) for one in place.segment.files]
            if not tables:
                continue
            table = pyarrow.concat_tables(tables).unify_dictionaries()
            if len(tables) > 1:  # each file holds a day, and the days of a segment may alternate
                table = table.sort_by([("offset", "ascending"), ("line", "ascending")])
            yield from table.combine_chunks().to_batches(_BATCH_ROWS)
    except (OSError, pyarrow.ArrowException, msgspec.MsgspecError) as error:
        raise InputError(f"cannot read the archive {folder}: {error}; check that the archive is whole") from None


def _places(folder: Path) -> list[_Place]:
    """The segments by partition and offset."""
    header = msgspec.json.decode((folder / ARCHIVE_FILE).read_bytes(), type=_Header)
    if header.format != FORMAT:
        raise InputError(f"the archive {folder} has format {header.format}, and this version reads format {FORMAT}")
    found = [
        _Place(int(at[1]), msgspec.json.decode(path.read_bytes(), type=_Segment))
        for path in (folder / "segments").glob("*/*.json")
        if (at := _SEGMENT.search(path.as_posix()))
    ]
    found.sort(key=lambda place: (place.partition, place.segment.first))
    for one, following in pairwise(found):
        if one.partition == following.partition and following.segment.first != one.segment.last + 1:
            raise InputError(
                f"the archive {folder} lacks the offsets {one.segment.last + 1} to {following.segment.first - 1} of "
                f"partition {one.partition}: states cannot be computed without these records"
            )
    return found
