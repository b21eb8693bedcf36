"""Reads a whole log file as an event log."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from encoder.data.event_log import EventLog
from encoder.data.loaders.assembly.event_columns import EventBatch, columns_of
from encoder.data.loaders.assembly.log_builder import EventLogBuilder
from encoder.data.loaders.formats import choose_format, format_from_name
from encoder.data.loaders.log_report import LogReport
from encoder.data.loaders.row_batches import LogFormat
from encoder.data.loaders.tables.delimited import Delimited
from encoder.data.loaders.tables.parquet import Parquet
from encoder.data.loaders.validation import latest_time_ms, reading, validated_batches


def load_log(
    path: Path | str, format: str | None = None, columns: str | None = None, *, for_model: bool = False
) -> tuple[EventLog, LogReport]:
    """Read a file. Returns the events sorted by time, and a report on the file's rows.

    format: a key of FORMATS; None chooses by the file name. columns: names the columns of the file, see
    `encoder.data.loaders.columns.mapping`. The log leaves out a row with the user id and event id of an earlier row,
    because a producer has sent that event twice.

    for_model: keep only what a model reads, without event ids, sessions and attributes other than the brand and the
    item's name. Such a log takes less memory, and its rows are judged and counted in the same way.

    Raises InputError when the format is unknown, when the file lacks a named column, and when the file is unreadable.
    """
    log_format = choose_format(path, format, columns)
    source = format or format_from_name(path)
    with reading(Path(path)):
        parts = _column_batches(log_format, Path(path), for_model)
        if parts is not None:
            from encoder.data.loaders.arrow.arrow_column import ArrowColumn

            return _built(EventLogBuilder(source, ArrowColumn, for_model=for_model), parts)
    return _built(EventLogBuilder(source, for_model=for_model), _row_batches(log_format, Path(path)))


def _built(builder: EventLogBuilder, parts: Iterator[EventBatch]) -> tuple[EventLog, LogReport]:
    for part in parts:
        builder.add(part)
    return builder.log(), builder.report


def _row_batches(log_format: LogFormat, path: Path) -> Iterator[EventBatch]:
    for rows in validated_batches(log_format, path):
        none = columns_of([])
        yield EventBatch(none, none.time_ms, rows)


def _column_batches(log_format: LogFormat, path: Path, for_model: bool) -> Iterator[EventBatch] | None:
    """The parts of a file by columns, or None where pyarrow is absent or the file must be read row by row."""
    if importlib.util.find_spec("pyarrow") is None or not path.is_file():  # a pipe can be read once
        return None
    import pyarrow

    pyarrow.set_memory_pool(pyarrow.system_memory_pool())  # the others keep the memory of parts that are done
    if isinstance(log_format, Parquet):
        from encoder.data.loaders.arrow.parquet_columns import parquet_batches

        return parquet_batches(log_format, path, latest_time_ms(), for_model=for_model)
    if isinstance(log_format, Delimited):
        from encoder.data.loaders.arrow.delimited_columns import delimited_batches

        return delimited_batches(log_format, path, latest_time_ms(), for_model)
    return None
