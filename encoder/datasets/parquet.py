"""Parquet with the event contract's columns; `attributes` is a struct or a map of strings and numbers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from encoder.datasets.rows import BATCH_ROWS, Batch
from encoder.errors import InputError
from encoder.events import BehaviorEvent

_REQUIRED = ("event_id", "user_id", "item_id", "action", "event_time_ms")


class Parquet:
    def batches(self, path: Path) -> Iterator[Batch]:
        try:
            import pyarrow
            import pyarrow.parquet
        except ModuleNotFoundError:
            raise InputError(f"reading {path} needs pyarrow: install Thalweg with its `train` extra") from None
        try:
            file = pyarrow.parquet.ParquetFile(path)
        except pyarrow.ArrowInvalid as error:
            raise InputError(f"{path} is not a Parquet file: {error}; pass --format jsonl for JSON Lines") from None
        with file:
            absent = [name for name in _REQUIRED if name not in file.schema_arrow.names]
            if absent:
                raise InputError(f"{path} has no column {', '.join(absent)}: name the columns as in the event contract")
            columns = [name for name in BehaviorEvent.__struct_fields__ if name in file.schema_arrow.names]
            first_line = 1
            for table in file.iter_batches(BATCH_ROWS, columns=columns):
                rows = [_without_nulls(row) for row in table.to_pylist(maps_as_pydicts="lossy")]
                yield Batch(first_line, [msgspec.json.encode(row) for row in rows], [_event(row) for row in rows])
                first_line += len(rows)

    def value(self, raw: bytes, event: BehaviorEvent | str) -> bytes:
        return raw

    def user_of(self, raw: bytes) -> str:
        user_id = msgspec.json.decode(raw).get("user_id")
        return user_id if isinstance(user_id, str) else ""


def _without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    """A struct column holds every attribute in every row; those a row does not have come as nulls."""
    if row.get("attributes"):
        row["attributes"] = {name: value for name, value in row["attributes"].items() if value is not None}
    return row


def _event(row: dict[str, Any]) -> BehaviorEvent | str:
    try:
        return msgspec.convert(row, BehaviorEvent)
    except msgspec.ValidationError as error:
        return str(error)
