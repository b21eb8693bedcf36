"""Reads a whole log file: as an event log, or as records of the behaviour topic."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

import msgspec

from encoder.data.contract.judge import judge_value
from encoder.data.contract.rejection import Rejection
from encoder.data.event_log import EventLog
from encoder.data.loaders.formats import FORMATS, choose_format, format_from_name
from encoder.data.loaders.log_builder import EventLogBuilder
from encoder.data.loaders.log_report import LogReport
from encoder.data.loaders.row_batches import JudgedBatch, LogFormat, UnusableRow
from encoder.data.loaders.validation import validated_batches
from encoder.errors import InputError

# A log has an event among its first rows. Without this check, every row of a file of another kind would become a dead
# letter.
HEAD_ROWS = 1000
SHOWN_BYTES = 80  # bytes of a row in an error message


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


def replay_records(
    path: Path | str,
    format: str | None = None,
    columns: str | None = None,
    first: float | None = None,
    rest: float | None = None,
) -> Iterator[tuple[bytes, bytes]]:
    """The file's rows in the order of the file, as records (key, value) of the behaviour topic.

    format, columns: as for `load_log`. Duplicates are included, and so are rows that are not events, because these
    rows belong in the dead-letter topic. The key is the user id, or b"" when the row has no user id.

    first, rest: keep the rows before or from the time that `load_log(...).cut_ms(fraction)` returns. A row that is not
    an event stays with the row before it.

    Raises InputError before the first record when the file is unreadable, or when none of its first HEAD_ROWS rows is
    an event.
    """
    log_format = choose_format(path, format, columns)
    if first is not None and rest is not None:
        raise InputError(f"both a first ({first}) and a rest ({rest}) of {path}: give one of them")
    batches = validated_batches(log_format, Path(path))
    head = list(islice(batches, 1))
    for batch in head:
        _check_head(batch, path, format or format_from_name(path))
    fraction = rest if first is None else first
    find_cut_ms = None if fraction is None else lambda: load_log(path, format, columns)[0].cut_ms(fraction)
    return _records(log_format, chain(head, batches), find_cut_ms, is_rest_wanted=rest is not None)


def _records(
    log_format: LogFormat, batches: Iterable[JudgedBatch], find_cut_ms: Callable[[], int] | None, is_rest_wanted: bool
) -> Iterator[tuple[bytes, bytes]]:
    cut_ms = None if find_cut_ms is None else find_cut_ms()
    is_rest = False
    for batch in batches:
        for raw, event in zip(batch.raw, batch.events, strict=True):
            if cut_ms is not None:
                is_rest = is_rest if isinstance(event, UnusableRow) else event.event_time_ms >= cut_ms
                if is_rest != is_rest_wanted:
                    continue
            if isinstance(event, UnusableRow):
                yield event.user_id.encode(), raw if log_format.rows_are_records else _never_an_event(raw)
            else:
                yield event.user_id.encode(), raw if log_format.rows_are_records else msgspec.json.encode(event)


def _never_an_event(raw: bytes) -> bytes:
    """The raw row, in a form that no worker takes for an event.

    A row can be unusable under a column mapping although its JSON, read without the mapping, is an event.
    """
    return raw if isinstance(judge_value(raw).outcome, Rejection) else b'{"unusable_row":%b}' % raw


def _check_head(batch: JudgedBatch, path: Path | str, format_name: str) -> None:
    head = batch.events[:HEAD_ROWS]
    first = head[0]
    if isinstance(first, UnusableRow) and all(isinstance(event, UnusableRow) for event in head):
        shown = ascii(batch.raw[0][:SHOWN_BYTES].decode(errors="backslashreplace"))
        raise InputError(
            f"{path} is not a log of format {format_name}: none of its first {len(head)} rows is an event; "
            f"line {batch.lines[0]} is {shown}: {first.reason}; check the file, or name its format with --format "
            f"({', '.join(FORMATS)})"
        )
