"""Opens Parquet files of every kind: logs, catalogues of items, and item embeddings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from encoder.errors import InputError


def open_parquet(path: Path, remedy: str, dictionaries: Sequence[str] = ()) -> Any:
    """Open a file as a `pyarrow.parquet.ParquetFile`, which is a context manager.

    remedy: what to do where the file is not Parquet. dictionaries: columns to read as dictionary arrays. Raises
    InputError without pyarrow, and where the file is not Parquet.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise InputError(f"reading {path} needs pyarrow: install Thalweg with its `train` extra") from None
    try:
        # With pre_buffer, pyarrow keeps everything that it has read of the file until the file is closed.
        return pyarrow.parquet.ParquetFile(path, read_dictionary=list(dictionaries), pre_buffer=False)
    except pyarrow.ArrowInvalid as error:
        raise InputError(f"{path} is not a Parquet file: {error}; {remedy}") from None
