"""An archive of a behaviour topic (`thalweg archive`, docs/archive.md) as the files of an event log.

The archive's folder has rows for every record of the topic. Only the rows of events belong to the log.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from encoder.data.loaders.columns.mapping import ATTRIBUTES
from encoder.errors import InputError

if TYPE_CHECKING:
    import pyarrow

DESCRIPTION = "archive.json"
SEGMENTS = "segments"
_KIND, _EVENT = "kind", "event"
_OF_RECORD = (_KIND, "topic", "partition", "offset", "line", "record_timestamp_ms", "field", "reason")


class _File(msgspec.Struct):
    path: str


class _Segment(msgspec.Struct):
    last: int
    files: list[_File]


def is_archive(folder: Path) -> bool:
    """True for the folder of an archive."""
    return (folder / DESCRIPTION).is_file()


def archive_files(folder: Path, ends: Mapping[int, int] | None = None) -> list[Path]:
    """The files that the segments of an archive list, by day, partition and offset.

    ends: by partition, the offset before which no record is wanted. A segment that ends before is left out. A file that
    no segment lists belongs to an archiving that was stopped, and the next run replaces the file. Raises InputError
    where the description of a segment cannot be read.
    """
    found = []
    for description in sorted((folder / SEGMENTS).glob("partition=*/*.json")):
        try:
            segment = msgspec.json.decode(description.read_bytes(), type=_Segment)
        except msgspec.MsgspecError as error:
            raise InputError(f"{description} does not describe a segment of an archive: {error}") from None
        partition = int(description.parent.name.removeprefix("partition="))
        if ends is None or segment.last >= ends.get(partition, 0):
            found += [folder / file.path for file in segment.files]
    return sorted(found)


def is_archived(schema: "pyarrow.Schema") -> bool:
    """True for the columns of a file of an archive."""
    return set(_OF_RECORD) <= set(schema.names)


class ArchivedEvents:
    """A Parquet file of an archive, read as if the file had the rows of events alone."""

    def __init__(self, file: Any) -> None:
        """file: a `pyarrow.parquet.ParquetFile`."""
        self._file = file
        left_out = set(_OF_RECORD)
        if not _has_values(file, ATTRIBUTES):  # Columns without JSON inside are read without objects of Python.
            left_out.add(ATTRIBUTES)
        schema = file.schema_arrow
        for name in left_out & set(schema.names):
            schema = schema.remove(schema.get_field_index(name))
        self.schema_arrow: pyarrow.Schema = schema

    def iter_batches(
        self, batch_size: int, columns: Sequence[str], use_threads: bool = True
    ) -> "Iterator[pyarrow.RecordBatch]":
        """The rows of events in parts of at most `batch_size` rows."""
        import pyarrow.compute

        for table in self._file.iter_batches(batch_size, columns=[*columns, _KIND], use_threads=use_threads):
            events = table.filter(pyarrow.compute.equal(table.column(_KIND).cast(pyarrow.string()), _EVENT))
            if len(events):
                yield events.select(list(columns))


def with_parsed_attributes(row: dict[str, Any]) -> dict[str, Any]:
    """The row of an archive with its attributes as an object, which the archive holds as JSON."""
    if isinstance(text := row.get(ATTRIBUTES), str):
        return {**row, ATTRIBUTES: msgspec.json.decode(text)}
    return row


def _has_values(file: Any, column: str) -> bool:
    """False where the statistics of the file say that the column is empty."""
    groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
    parts = [part for group in groups for part in map(group.column, range(group.num_columns))]
    counts = [part.statistics and part.statistics.null_count for part in parts if part.path_in_schema == column]
    return counts != [group.num_rows for group in groups]
