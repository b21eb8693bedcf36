"""Files of item embeddings: Parquet, or an array of numpy with a list of ids beside it.

A Parquet file has a column `item_id` and a column of lists of numbers. A row whose list is null is an item without an
embedding. An array `text.npy` has one row for each item, and the file `text.ids` has one item id in each line.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from encoder.data.loaders.tables.parquet_files import open_parquet
from encoder.errors import InputError
from encoder.item_embeddings.embeddings import ItemEmbeddings
from encoder.wording import counted

if TYPE_CHECKING:
    import pyarrow

ITEM_COLUMN = "item_id"
SOURCE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
BATCH_ROWS = 8_192

# Some rows of a file: the numbers of the rows in the file from 1, the item ids, and the vectors (n, V).
_Batch = tuple[list[int], list[str], NDArray[np.float32]]


def parse_sources(arguments: list[str]) -> dict[str, Path]:
    """The file of each source, sorted by the name of the source. arguments: texts NAME=FILE.

    Raises InputError when a text has another form, when a name has other characters than letters, digits, _ and -, and
    when two texts have one name.
    """
    files: dict[str, Path] = {}
    for argument in arguments:
        name, equals, file = argument.partition("=")
        if not equals or not file or not SOURCE_NAME.fullmatch(name):
            raise InputError(
                f"--item-embeddings {argument}: give NAME=FILE, for example text=titles.parquet, where NAME begins "
                "with a letter and has letters, digits, _ and - alone, 64 at most"
            )
        if name in files:
            raise InputError(f"--item-embeddings {argument}: {name!r} is given twice; give each source its own name")
        files[name] = Path(file)
    return dict(sorted(files.items()))


def load_item_embeddings(name: str, path: Path) -> ItemEmbeddings:
    """The embeddings of a file.

    name: of the source. When a Parquet file has several columns of lists, the column with this name has the embeddings.
    Raises InputError when the file cannot be read, and when an id or an embedding is not usable.
    """
    readers = {".parquet": _parquet_batches, ".npy": _numpy_batches}
    if path.suffix not in readers:
        raise InputError(f"item embeddings {path}: the name has to end in .parquet or .npy")
    try:
        batches = list(readers[path.suffix](name, path))
    except OSError as error:
        remedy = "; write the item ids into this file, one in a line" if str(error.filename).endswith(".ids") else ""
        raise InputError(f"item embeddings {path} cannot be read: {error}{remedy}") from None
    rows = [row for batch in batches for row in batch[0]]
    items = [item for batch in batches for item in batch[1]]
    if not items:
        raise InputError(f"item embeddings {path} hold no item: check the file, or leave it out")
    _check_ids(path, rows, items)
    return ItemEmbeddings(name, items, np.concatenate([vectors for _, _, vectors in batches]))


def _check_ids(path: Path, rows: list[int], items: list[str]) -> None:
    row_of: dict[str, int] = {}
    for row, item in zip(rows, items, strict=True):
        if not item:
            raise InputError(f"row {row} of {path} has no item id: give every row an id")
        if item in row_of:
            raise InputError(f"rows {row_of[item]} and {row} of {path} have the item {item!r}: keep one of them")
        row_of[item] = row


def _checked(path: Path, rows: list[int], items: list[str], values: NDArray[Any]) -> _Batch:
    """A batch in float32. values: (n, V). Raises InputError when a number is not finite in float32."""
    with np.errstate(over="ignore"):
        vectors = np.ascontiguousarray(values, np.float32)
    wrong = np.argwhere(~np.isfinite(vectors))
    if len(wrong):
        row, column = wrong[0].tolist()
        raise InputError(
            f"row {rows[row]} of {path} (item {items[row]!r}): number {column + 1} of {vectors.shape[1]} is "
            f"{values[row, column]}, which is no finite number in float32; leave the row out, or compute it again"
        )
    return rows, items, vectors


def _numpy_batches(name: str, path: Path) -> Iterator[_Batch]:
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError):
        raise InputError(f"{path} is not an array of numpy with numbers: write the array with numpy.save") from None
    if values.ndim != 2 or not values.shape[1]:
        raise InputError(f"{path} has the shape {values.shape}: give one row of numbers for each item, (items, width)")
    _check_numbers(path, values.dtype.kind in "fiu", str(values.dtype))
    ids_path = path.with_suffix(".ids")
    try:
        items = ids_path.read_text("utf-8").removesuffix("\n").split("\n") if len(values) else []
    except UnicodeDecodeError as error:
        raise InputError(f"{ids_path} is not text in UTF-8: {error}; write one item id in each line") from None
    if len(items) != len(values):
        raise InputError(
            f"{path} has {len(values):,} rows and {ids_path} has {len(items):,} lines: write one item id for each row, "
            "in the order of the rows"
        )
    for begin in range(0, len(values), BATCH_ROWS):
        part = values[begin : begin + BATCH_ROWS]
        rows = list(range(begin + 1, begin + 1 + len(part)))
        yield _checked(path, rows, items[begin : begin + BATCH_ROWS], part)


def _parquet_batches(name: str, path: Path) -> Iterator[_Batch]:
    with open_parquet(path, "give a file that ends in .npy otherwise") as file:
        column, width, first = _vector_column(file.schema_arrow, name, path), 0, 1
        for batch in file.iter_batches(BATCH_ROWS, columns=[ITEM_COLUMN, column]):
            vectors = batch.column(column)
            has_vector = vectors.is_valid()
            rows = [first + place for place, is_valid in enumerate(has_vector.to_pylist()) if is_valid]
            first += len(batch)
            if rows:
                items = _item_ids(batch.column(ITEM_COLUMN).filter(has_vector), path, rows)
                values = _numbers(vectors.filter(has_vector), path, rows, items, width)
                width = values.shape[1]
                yield _checked(path, rows, items, values)


def _vector_column(schema: "pyarrow.Schema", name: str, path: Path) -> str:
    import pyarrow

    types = pyarrow.types
    if schema.names.count(ITEM_COLUMN) != 1:
        raise InputError(f"{path} has the columns {', '.join(schema.names)}: name the column of item ids {ITEM_COLUMN}")
    found = [
        field
        for field in schema
        if types.is_list(field.type) or types.is_large_list(field.type) or types.is_fixed_size_list(field.type)
    ]
    if len(found) > 1:
        found = [field for field in found if field.name == name]
    if len(found) != 1:
        raise InputError(
            f"{path} has the columns {', '.join(schema.names)}: of these, exactly one has to hold lists of numbers, or "
            f"exactly one such column has to have the name of the source, {name!r}"
        )
    kind = found[0].type.value_type
    _check_numbers(path, types.is_integer(kind) or types.is_floating(kind), f"lists of {kind}")
    return str(found[0].name)


def _check_numbers(path: Path, is_number: bool, found: str) -> None:
    if not is_number:
        raise InputError(f"{path} has {found} as embeddings: give whole numbers or floating point numbers")


def _item_ids(column: "pyarrow.Array", path: Path, rows: list[int]) -> list[str]:
    import pyarrow

    types = pyarrow.types
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (types.is_integer(column.type) or types.is_string(column.type) or types.is_large_string(column.type)):
        raise InputError(f"{path} has {column.type} in the column {ITEM_COLUMN}: give texts or whole numbers")
    values = column.to_pylist()
    if None in values:
        raise InputError(f"row {rows[values.index(None)]} of {path} has no item id: give every row an id")
    return [str(value) for value in values]


def _numbers(lists: "pyarrow.Array", path: Path, rows: list[int], items: list[str], width: int) -> NDArray[Any]:
    """(n, V) numbers of n lists that are not null. width: V of the earlier lists, or 0 for the first ones."""
    import pyarrow.compute

    lengths = pyarrow.compute.list_value_length(lists).to_numpy(zero_copy_only=False)
    width = width or int(lengths[0])
    for place in np.flatnonzero((lengths != width) | (lengths == 0))[:1].tolist():
        raise InputError(
            f"row {rows[place]} of {path} (item {items[place]!r}) has {counted(lengths[place], 'number')}, and the "
            f"rows before have {width}: give all items of a file embeddings of one width; items without one have null"
        )
    numbers = lists.flatten()
    if numbers.null_count:
        place = int(np.flatnonzero(numbers.is_null().to_numpy(zero_copy_only=False))[0])
        row = place // width
        raise InputError(
            f"row {rows[row]} of {path} (item {items[row]!r}): number {place % width + 1} of {width} is null; leave "
            "the row out, or give null instead of the whole list"
        )
    values: NDArray[Any] = numbers.to_numpy(zero_copy_only=False).reshape(-1, width)
    return values
