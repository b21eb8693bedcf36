"""Reads Parquet by columns. The result is that of `encoder.data.loaders.tables.parquet`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow

from encoder.data.loaders.arrow.binary_arrays import dictionary_parts
from encoder.data.loaders.arrow.judged_columns import ColumnJudge, Rules, can_be_judged
from encoder.data.loaders.assembly.event_columns import EventBatch
from encoder.data.loaders.assembly.log_builder import is_unread_by_models
from encoder.data.loaders.columns.mapping import ATTRIBUTE_PREFIX, ATTRIBUTES, TEXT_FIELDS
from encoder.data.loaders.tables.parquet import Parquet, ParquetColumns, in_milliseconds
from encoder.data.loaders.validation import judged

_BATCH_ROWS = 1 << 16
_types = pyarrow.types


def parquet_batches(log_format: Parquet, path: Path, latest_ms: int, *, for_model: bool) -> Iterator[EventBatch] | None:
    """The parts of a file, or None where a column has a type that needs a look at every row.

    for_model: do not keep what `is_unread_by_models` names. Raises InputError as `Parquet.batches` does.
    """
    with log_format.opened(path) as columns:
        sources = _sources(columns)
        if sources is None or not can_be_judged(log_format.mapping.action, sources):
            return None
        texts = [
            names[0]
            for name, names in sources.items()
            if name != "event_id" and len(names) == 1 and _is_text(columns.file.schema_arrow.field(names[0]).type)
        ]
    return _batches(log_format, path, latest_ms, texts, for_model)


def _batches(
    log_format: Parquet, path: Path, latest_ms: int, texts: list[str], for_model: bool
) -> Iterator[EventBatch]:
    """The parts of a file. texts: the columns that are read as dictionary arrays."""
    mapping = log_format.mapping
    with log_format.opened(path, texts) as columns:
        sources = _sources(columns)
        assert sources is not None, "the columns are those of the first look"
        unread = [name for name in sources if for_model and is_unread_by_models(name)]
        first_line = 1
        for table in columns.file.iter_batches(_BATCH_ROWS, columns=columns.names, use_threads=False):
            lines = np.arange(first_line, first_line + len(table))
            first_line += len(table)
            arrays = {name: columns.array_at(table, names) for name, names in sources.items()}
            is_timestamp = _types.is_temporal(arrays["event_time_ms"].type)
            rules = Rules(
                "ms" if is_timestamp else mapping.time_unit,
                latest_ms,
                0 if is_timestamp else mapping.first_plausible_ms,
                mapping.action,
                is_text_file=False,
            )
            judge = ColumnJudge(rules, len(table))
            events = judge.events({name: _judgeable(name, array) for name, array in arrays.items()}, unread)
            if judge.is_kept.all():
                yield EventBatch(events, lines)
                continue
            others = ~judge.is_kept
            rows = columns.rows(table.filter(pyarrow.array(others)), lines[others].tolist())
            yield EventBatch(events, lines[judge.is_kept], judged(rows, latest_ms))


def _sources(columns: ParquetColumns) -> dict[str, tuple[str, ...]] | None:
    """Field or attributes.NAME -> names on the path of the column, or None where a column needs a look at every row."""
    sources = {name: columns.paths[column] for name, column in columns.column_of.items() if name != ATTRIBUTES}
    if ATTRIBUTES in columns.column_of:
        names = columns.paths[columns.column_of[ATTRIBUTES]]
        kind = _type_at(columns.file.schema_arrow, names)
        if not _types.is_struct(kind):
            return None
        own = {ATTRIBUTE_PREFIX + field.name: (*names, field.name) for field in kind}
        if len(own) < kind.num_fields or not own.keys().isdisjoint(sources):
            return None
        sources |= own
    is_iso = columns.mapping.time_unit == "iso"
    for name, names in sources.items():
        if not _can_be_read(name, _type_at(columns.file.schema_arrow, names), is_iso=is_iso):
            return None
    return sources


def _type_at(schema: Any, names: tuple[str, ...]) -> Any:
    kind = schema.field(names[0]).type
    for name in names[1:]:
        kind = kind.field(name).type
    return kind


def _can_be_read(name: str, kind: Any, *, is_iso: bool) -> bool:
    if name == "event_time_ms":
        if _types.is_timestamp(kind) or _types.is_date(kind):
            return True
        return not is_iso and bool(_types.is_float64(kind) or _types.is_signed_integer(kind))
    if name == "price":
        return bool(_types.is_float64(kind) or _types.is_float32(kind) or _types.is_integer(kind))
    return _is_text(kind) or (name in TEXT_FIELDS and _types.is_integer(kind))


def _is_text(kind: Any) -> bool:
    return bool(
        _types.is_string(kind)
        or _types.is_large_string(kind)
        or (_types.is_dictionary(kind) and _types.is_string(kind.value_type))
    )


def _judgeable(name: str, array: Any) -> Any:
    """The array in a type that `ColumnJudge.events` takes."""
    kind = array.type
    if name == "event_time_ms":
        if _types.is_temporal(kind):
            return in_milliseconds(array)
        return array if _types.is_floating(kind) else array.cast(pyarrow.int64())
    if name == "price":
        return array.cast(pyarrow.float64(), safe=False)
    if name == "event_id":
        array = array.dictionary_decode() if _types.is_dictionary(kind) else array
        return array.cast(pyarrow.string()).cast(pyarrow.binary())
    if not _types.is_dictionary(kind):
        array = array.dictionary_encode()
    return _in_order(array)


def _in_order(array: Any) -> Any:
    """The dictionary array with the values of its rows alone, in the order of their first row, as binary values."""
    texts = array.dictionary.cast(pyarrow.string()).cast(pyarrow.binary())
    plain = pyarrow.DictionaryArray.from_arrays(array.indices.cast(pyarrow.int32()), texts)
    codes, _, _ = dictionary_parts(plain)
    first = np.full(len(texts) + 1, len(codes), np.int64)  # the last entry is for the code MISSING
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    used = np.flatnonzero(first[:-1] < len(codes))
    order = used[np.argsort(first[used])]
    place = np.zeros(len(texts) + 1, np.int32)
    place[order] = np.arange(len(order))
    mask = np.asarray(array.is_null()) if array.null_count else None
    return pyarrow.DictionaryArray.from_arrays(pyarrow.array(place[codes], mask=mask), texts.take(pyarrow.array(order)))
