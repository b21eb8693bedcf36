"""Reads the files of a log as one event log."""

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

from encoder.data.event_log import EventLog
from encoder.data.loaders.assembly.event_columns import EventBatch, columns_of
from encoder.data.loaders.assembly.growing_column import GrowingColumn
from encoder.data.loaders.assembly.log_builder import EventLogBuilder
from encoder.data.loaders.formats import choose_format
from encoder.data.loaders.log_paths import common_format, log_paths
from encoder.data.loaders.log_report import LogReport
from encoder.data.loaders.row_batches import LogFormat
from encoder.data.loaders.tables.delimited import Delimited
from encoder.data.loaders.tables.parquet import Parquet
from encoder.data.loaders.validation import latest_time_ms, reading, validated_batches


def load_log(
    logs: Path | str | Sequence[Path | str],
    format: str | None = None,
    columns: str | None = None,
    *,
    for_model: bool = False,
    sample_users: float = 1.0,
    mapping: str | None = None,
) -> tuple[EventLog, LogReport]:
    """Read the files of a log. Returns the events sorted by time, and a report on the rows of all files.

    logs: files, folders and globs, see `encoder.data.loaders.log_paths`. Of events with equal times, those of earlier
    files come first. format: a key of FORMATS; None chooses by the file name. columns: names the columns of the files,
    see `encoder.data.loaders.columns.mapping`. The log leaves out a row with the user id and event id of an earlier
    row, because a producer has sent that event twice.

    for_model: keep only what a model reads, without event ids, sessions and attributes other than the brand and the
    item's name. Such a log takes less memory, and its rows are judged and counted in the same way.

    sample_users: share of the users to keep. A hash of the user id decides, see
    `encoder.data.loaders.assembly.user_sample`.

    mapping: a preset or a file for `encoder.data.mapping.load_mapping`. The lines of the files are then records of a
    topic, each with the events that the mapping reads.

    Raises InputError when the format is unknown, when a file lacks a named column, and when a file is unreadable.
    """
    paths = log_paths(logs)
    source = common_format(paths, format)
    log_format = choose_format(paths[0], source, columns, mapping)
    builder = EventLogBuilder(source, _column_kind(log_format), for_model=for_model, sample_users=sample_users)
    for part in _parts(paths, log_format, builder.report, for_model):
        builder.add(part)
    return builder.log(), builder.report


def log_parts(
    logs: Path | str | Sequence[Path | str],
    report: LogReport,
    format: str | None = None,
    columns: str | None = None,
    mapping: str | None = None,
) -> Iterator[EventBatch]:
    """Yield the parts of a log one after another, for a reader that does not keep the whole log in memory.

    The arguments and the errors are those of `load_log` with `for_model`. A part holds the events of consecutive rows,
    and no event is left out as a duplicate. report: counts the rows, without `counts_duplicates`.
    """
    paths = log_paths(logs)
    log_format = choose_format(paths[0], common_format(paths, format), columns, mapping)
    for part in _parts(paths, log_format, report, for_model=True):
        unparsable = report.unparsable
        report.count_unused(part.rows)
        rows = 0 if part.rows is None else len(part.rows.events)
        report.kept += len(part.columns) + rows - (report.unparsable - unparsable)
        yield part


def _parts(paths: Sequence[Path], log_format: LogFormat, report: LogReport, for_model: bool) -> Iterator[EventBatch]:
    for path in paths:
        report.file = path.name if len(paths) > 1 else ""
        with reading(path):
            parts = _column_batches(log_format, path, for_model)
            yield from _row_batches(log_format, path) if parts is None else parts


def _column_kind(log_format: LogFormat) -> type[GrowingColumn]:
    """What collects a column: with pyarrow, values that come without objects of Python also stay without them."""
    if importlib.util.find_spec("pyarrow") is None or not isinstance(log_format, Parquet | Delimited):
        return GrowingColumn
    from encoder.data.loaders.arrow.arrow_column import ArrowColumn

    return ArrowColumn


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
