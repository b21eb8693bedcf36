"""The file of labels: its check, its users and moments, and the same file with the vectors beside its columns."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from numpy.typing import NDArray

from encoder.data.loaders.tables.parquet_files import open_parquet
from encoder.errors import InputError
from export.point_in_time.records import LABEL, Records, user_keys

USER_COLUMN, TIME_COLUMN = "user_id", "time_ms"
VECTOR_COLUMN, STEPS_COLUMN, LAST_TIME_COLUMN = "representation", "steps", "last_time_ms"
BATCH_ROWS = 1 << 16
_types = pyarrow.types


class LabelFile:
    """A Parquet file with a user and a moment in each row. Other columns may have any type."""

    def __init__(self, path: Path, stored_id: Callable[[str], str] = str) -> None:
        """stored_id: gives the id that the events have, from the id of a label.

        Raises InputError where the file cannot be read, or lacks a column, or has a column of the result.
        """
        self.path = path
        self._stored_id = stored_id
        with _reading(path):
            self._file = open_parquet(path, "name a Parquet file with --at")
        schema = self._file.schema_arrow
        for name in (USER_COLUMN, TIME_COLUMN):
            if schema.names.count(name) != 1:
                raise InputError(
                    f"the labels {path} need one column {name} and have {', '.join(schema.names) or 'no columns'}: "
                    f"name the user's id {USER_COLUMN} and the moment in milliseconds {TIME_COLUMN}"
                )
        for name in (VECTOR_COLUMN, STEPS_COLUMN, LAST_TIME_COLUMN):
            if name in schema.names:
                raise InputError(f"the labels {path} have a column {name}, which the result needs: rename the column")
        kind = schema.field(TIME_COLUMN).type
        if not _types.is_integer(kind):
            raise InputError(
                f"{TIME_COLUMN} of the labels {path} has the type {kind}: give whole milliseconds since 1970-01-01 "
                "UTC, for example as int64"
            )
        kind = schema.field(USER_COLUMN).type
        if not _is_text(kind) and not _types.is_integer(kind):
            raise InputError(f"{USER_COLUMN} of the labels {path} has the type {kind}: give texts")
        self.rows: int = self._file.metadata.num_rows

    def labels(self) -> Iterator[Records]:
        """Yield (n,) LABEL, one array after another. Raises InputError for a row without a user or a moment."""
        first = 0
        for batch in self._batches([USER_COLUMN, TIME_COLUMN]):
            for name in (USER_COLUMN, TIME_COLUMN):
                if batch.column(name).null_count:
                    row = first + int(np.flatnonzero(np.asarray(batch.column(name).is_null()))[0])
                    raise InputError(f"{name} of row {row} of the labels {self.path} is null: leave the row out")
            labels = np.zeros(len(batch), LABEL)
            with _reading(self.path):
                users = batch.column(USER_COLUMN).cast(pyarrow.string()).dictionary_encode()
                labels["time_ms"] = batch.column(TIME_COLUMN).cast(pyarrow.int64()).to_numpy()
            labels["user"] = user_keys(map(self._stored_id, users.dictionary.to_pylist()))[users.indices.to_numpy()]
            labels["row"] = first + np.arange(len(batch))
            first += len(batch)
            yield labels

    def write(self, path: Path, width: int, metadata: dict[str, str], vectors: Callable[[int, int], Records]) -> None:
        """Write the rows with the columns of the result behind their own columns.

        width: R of a representation. metadata: is added to that of the file. vectors: gives the records of
        `vector_type` of the rows from the first number to before the second, in order of the rows.
        """
        own = self._file.schema_arrow
        vector = pyarrow.list_(pyarrow.field("element", pyarrow.float32(), nullable=False), width)
        schema = own
        for name, kind in (
            (VECTOR_COLUMN, vector),
            (STEPS_COLUMN, pyarrow.int64()),
            (LAST_TIME_COLUMN, pyarrow.int64()),
        ):
            schema = schema.append(pyarrow.field(name, kind, nullable=name == LAST_TIME_COLUMN))
        schema = schema.with_metadata({**(own.metadata or {}), **metadata})
        first = 0
        with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd", use_dictionary=own.names) as writer:
            for batch in self._batches(None):
                found = vectors(first, first + len(batch))
                first += len(batch)
                added = _columns(found, vector)
                writer.write_batch(pyarrow.RecordBatch.from_arrays([*batch.columns, *added], schema=schema))

    def _batches(self, columns: list[str] | None) -> Iterator[Any]:
        with _reading(self.path):
            yield from self._file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise InputError in the place of an error of reading."""
    try:
        yield
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"cannot read the labels {path}: {error}; name a Parquet file with --at") from None


def _columns(found: Records, vector: Any) -> list[Any]:
    steps: NDArray[np.int64] = np.ascontiguousarray(found["steps"])
    flat = pyarrow.array(np.ascontiguousarray(found["representation"]).reshape(-1))
    last = pyarrow.array(np.ascontiguousarray(found["last_time_ms"]), mask=steps == 0)
    return [pyarrow.FixedSizeListArray.from_arrays(flat, type=vector), pyarrow.array(steps), last]


def _is_text(kind: Any) -> bool:
    if _types.is_dictionary(kind):
        kind = kind.value_type
    return bool(_types.is_string(kind) or _types.is_large_string(kind) or _types.is_string_view(kind))
