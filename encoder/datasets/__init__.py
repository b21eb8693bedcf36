"""Event logs from files: the event contract as JSON Lines or Parquet, and public logs in their own formats."""

from collections.abc import Iterator
from pathlib import Path

from encoder.datasets.columns import ColumnBuilder, LogReport
from encoder.datasets.jsonl import JsonLines
from encoder.datasets.parquet import Parquet
from encoder.datasets.rees46 import Rees46
from encoder.datasets.rows import LogFormat, checked_batches
from encoder.errors import InputError
from encoder.log import EventLog

__all__ = ["FORMATS", "LogReport", "format_of", "load_log", "replay_records"]

FORMATS: dict[str, LogFormat] = {"jsonl": JsonLines(), "parquet": Parquet(), "rees46": Rees46()}


def format_of(path: Path | str) -> str:
    """The format by a file's name: Parquet for `.parquet`, else JSON Lines."""
    return "parquet" if Path(path).suffix == ".parquet" else "jsonl"


def load_log(path: Path | str, format: str | None = None) -> tuple[EventLog, LogReport]:
    """The events of a file, sorted by time, and what became of its rows.

    `format` is a key of FORMATS; None takes it from the name. A row with the user_id and event_id of an earlier row is
    a producer's duplicate and is left out. Raises InputError for an unknown format or an unreadable file.
    """
    log_format = _format(path, format)
    builder = ColumnBuilder(source=format or format_of(path))
    for batch in checked_batches(log_format, Path(path)):
        builder.add(batch)
    return builder.log(), builder.report


def replay_records(
    path: Path | str, format: str | None = None, first: float | None = None, rest: float | None = None
) -> Iterator[tuple[bytes, bytes]]:
    """The file's rows, in the order of the file, as records (key, value) of the behaviour topic.

    Every row goes, also duplicates and rows that are no events: those belong in the dead-letter topic. The key is the
    user id, b"" where a row has none. `first`/`rest` keep the rows before / from `load_log(...).cut_ms(fraction)` on;
    rows that are no events go with the row before them.
    """
    log_format = _format(path, format)
    if first is not None and rest is not None:
        raise InputError(f"both a first ({first}) and a rest ({rest}) of {path}: give one of them")
    fraction = rest if first is None else first
    cut_ms = None if fraction is None else load_log(path, format)[0].cut_ms(fraction)
    is_rest = False
    for batch in checked_batches(log_format, Path(path)):
        for raw, event in zip(batch.raw, batch.events, strict=True):
            if cut_ms is not None:
                is_rest = is_rest if isinstance(event, str) else event.event_time_ms >= cut_ms
                if is_rest == (rest is None):
                    continue
            user_id = log_format.user_of(raw) if isinstance(event, str) else event.user_id
            yield user_id.encode(), log_format.value(raw, event)


def _format(path: Path | str, format: str | None) -> LogFormat:
    name = format or format_of(path)
    if name not in FORMATS:
        raise InputError(f"unknown log format {name!r} for {path}: use one of {', '.join(FORMATS)}")
    return FORMATS[name]
