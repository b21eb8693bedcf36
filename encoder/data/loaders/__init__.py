"""Event logs from files: the event contract as JSON Lines, Parquet or CSV, and public logs in their own formats."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

import msgspec

from encoder.data.event_log import EventLog
from encoder.data.loaders.columns import ColumnBuilder, LogReport
from encoder.data.loaders.delimited import Delimited
from encoder.data.loaders.jsonl import JsonLines
from encoder.data.loaders.mapping import Columns
from encoder.data.loaders.parquet import Parquet
from encoder.data.loaders.plain_csv import plain_csv
from encoder.data.loaders.public import diginetica, movielens, rees46, retailrocket, taobao, yoochoose
from encoder.data.loaders.public.otto import Otto
from encoder.data.loaders.rows import Batch, LogFormat, Unusable, checked_batches
from encoder.errors import InputError

__all__ = ["COLUMNS_HELP", "FORMATS", "LogReport", "format_of", "load_log", "replay_records"]

FORMATS: dict[str, LogFormat] = {
    "csv": plain_csv(Columns()),
    "diginetica": Delimited(diginetica.layout),
    "jsonl": JsonLines(),
    "movielens": Delimited(movielens.layout),
    "otto": Otto(),
    "parquet": Parquet(Columns()),
    "rees46": Delimited(rees46.layout),
    "retailrocket": Delimited(retailrocket.layout),
    "taobao": Delimited(taobao.layout),
    "yoochoose": Delimited(yoochoose.layout),
}
_MAPPED: dict[str, Callable[[Columns], LogFormat]] = {"csv": plain_csv, "parquet": Parquet}  # those that take columns
COLUMNS_HELP = (
    "columns of a csv or parquet log that are not named as in the event contract: FIELD=COLUMN,..., for example "
    "user_id=user,item_id=asin,event_time_ms=ts[s],action:=rate (one action for all rows; units: s, ms, iso; "
    "#1, #2, ... where there is no header; attributes.NAME=COLUMN)"
)
HEAD_ROWS = 1000  # a log has an event among these; a file of another kind would become dead letters, row for row
SHOWN = 80  # bytes of a row in an error


def format_of(path: Path | str) -> str:
    """The format by a file's name: Parquet for `.parquet`, CSV for `.csv` and `.csv.gz`, else JSON Lines."""
    suffix = Path(Path(path).name.removesuffix(".gz")).suffix
    return suffix[1:] if suffix in (".parquet", ".csv") else "jsonl"


def load_log(path: Path | str, format: str | None = None, columns: str | None = None) -> tuple[EventLog, LogReport]:
    """The events of a file, sorted by time, and what became of its rows.

    `format` is a key of FORMATS; None takes it from the name. `columns` names the columns of CSV and Parquet, see
    encoder.datasets.mapping. A row with the user_id and event_id of an earlier row is a producer's duplicate and is
    left out. Raises InputError for an unknown format, columns that the file does not have, or an unreadable file.
    """
    log_format = _format(path, format, columns)
    builder = ColumnBuilder(source=format or format_of(path))
    for batch in checked_batches(log_format, Path(path)):
        builder.add(batch)
    return builder.log(), builder.report


def replay_records(
    path: Path | str,
    format: str | None = None,
    columns: str | None = None,
    first: float | None = None,
    rest: float | None = None,
) -> Iterator[tuple[bytes, bytes]]:
    """The file's rows, in the order of the file, as records (key, value) of the behaviour topic; see `load_log`.

    Every row goes, also duplicates and rows that are no events: those belong in the dead-letter topic. The key is the
    user id, b"" where a row has none. `first`/`rest` keep the rows before / from `load_log(...).cut_ms(fraction)` on;
    rows that are no events go with the row before them.

    Raises InputError at once for an unreadable file, or one of whose first HEAD_ROWS rows none is an event.
    """
    log_format = _format(path, format, columns)
    if first is not None and rest is not None:
        raise InputError(f"both a first ({first}) and a rest ({rest}) of {path}: give one of them")
    batches = checked_batches(log_format, Path(path))
    head = list(islice(batches, 1))
    for batch in head:
        _check_head(batch, path, format or format_of(path))
    fraction = rest if first is None else first
    cut = None if fraction is None else lambda: load_log(path, format, columns)[0].cut_ms(fraction)
    return _records(log_format, chain(head, batches), cut, is_rest_wanted=rest is not None)


def _records(
    log_format: LogFormat, batches: Iterable[Batch], cut: Callable[[], int] | None, is_rest_wanted: bool
) -> Iterator[tuple[bytes, bytes]]:
    cut_ms = None if cut is None else cut()
    is_rest = False
    for batch in batches:
        for raw, event in zip(batch.raw, batch.events, strict=True):
            if cut_ms is not None:
                is_rest = is_rest if isinstance(event, Unusable) else event.event_time_ms >= cut_ms
                if is_rest != is_rest_wanted:
                    continue
            as_it_stands = log_format.holds_records or isinstance(event, Unusable)
            yield event.user_id.encode(), raw if as_it_stands else msgspec.json.encode(event)


def _check_head(batch: Batch, path: Path | str, name: str) -> None:
    head = batch.events[:HEAD_ROWS]
    why = head[0]
    if isinstance(why, Unusable) and all(isinstance(event, Unusable) for event in head):
        shown = ascii(batch.raw[0][:SHOWN].decode(errors="backslashreplace"))
        raise InputError(
            f"{path} is not a log of format {name}: none of its first {len(head)} rows is an event; "
            f"line {batch.lines[0]} is {shown}: {why.reason}; check the file, or name its format with --format "
            f"({', '.join(FORMATS)})"
        )


def _format(path: Path | str, format: str | None, columns: str | None) -> LogFormat:
    name = format or format_of(path)
    if name not in FORMATS:
        raise InputError(f"unknown log format {name!r} for {path}: use one of {', '.join(FORMATS)}")
    if columns is None:
        return FORMATS[name]
    if name not in _MAPPED:
        raise InputError(f"columns {columns!r} for {path} of format {name}: only {' and '.join(_MAPPED)} take columns")
    return _MAPPED[name](Columns.parse(columns))
