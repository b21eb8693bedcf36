"""Reads a whole log file as an event log."""

from pathlib import Path

from encoder.data.event_log import EventLog
from encoder.data.loaders.formats import choose_format, format_from_name
from encoder.data.loaders.log_builder import EventLogBuilder
from encoder.data.loaders.log_report import LogReport
from encoder.data.loaders.validation import validated_batches


def load_log(path: Path | str, format: str | None = None, columns: str | None = None) -> tuple[EventLog, LogReport]:
    """Read a file. Returns the events sorted by time, and a report on the file's rows.

    format: a key of FORMATS; None chooses by the file name. columns: names the columns of the file, see
    `encoder.data.loaders.columns.mapping`. The log leaves out a row with the user id and event id of an earlier row,
    because a producer has sent that event twice.

    Raises InputError when the format is unknown, when the file lacks a named column, and when the file is unreadable.
    """
    log_format = choose_format(path, format, columns)
    builder = EventLogBuilder(source=format or format_from_name(path))
    for batch in validated_batches(log_format, Path(path)):
        builder.add(batch)
    return builder.log(), builder.report
