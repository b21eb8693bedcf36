"""Files of item embeddings: what is read, and what is refused with which words."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from encoder.errors import InputError
from encoder.item_embeddings.files import load_item_embeddings, parse_sources

NAN = float("nan")
VECTORS = [[1.0, 2.0], [3.0, 4.5]]


def write_parquet(folder: Path, **columns: Any) -> Path:
    path = folder / "text.parquet"
    pyarrow.parquet.write_table(pa.table(columns), path)
    return path


def write_array(folder: Path, values: Any, ids: str | None = "a\nb\n") -> Path:
    path = folder / "text.npy"
    np.save(path, values)
    if ids is not None:
        (folder / "text.ids").write_text(ids)
    return path


@pytest.mark.parametrize(
    ("ids", "vectors"),
    [
        (pa.array(["7", "8"]), pa.array(VECTORS)),
        (pa.array([7, 8]), pa.array(VECTORS, pa.large_list(pa.float32()))),
        (pa.array(["7", "8"]).dictionary_encode(), pa.array(VECTORS, pa.list_(pa.float64(), 2))),
        (
            pa.array(["7", "8"], pa.large_string()),
            pa.array(np.array(VECTORS, np.float16).tolist(), pa.list_(pa.float16())),
        ),
    ],
)
def test_ids_and_lists_of_parquet_may_have_any_common_type(ids: pa.Array, vectors: pa.Array, tmp_path: Path) -> None:
    found = load_item_embeddings("text", write_parquet(tmp_path, item_id=ids, vector=vectors))
    assert (found.name, found.items, found.width) == ("text", ["7", "8"], 2)
    assert found.vectors.dtype == np.float32
    assert found.vectors.tolist() == VECTORS


def test_the_name_of_the_source_chooses_among_several_columns_of_lists(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, item_id=["a", "b"], title=["x", "y"], text=VECTORS, picture=[[1], [2]])
    assert load_item_embeddings("text", path).width == 2
    assert load_item_embeddings("picture", path).vectors.tolist() == [[1.0], [2.0]]
    with pytest.raises(InputError, match=r"has the columns item_id, title, text, picture: .* the source, 'sound'"):
        load_item_embeddings("sound", path)


def test_an_item_with_null_has_no_embedding(tmp_path: Path) -> None:
    ids = ["a", "b", None, "c"]
    found = load_item_embeddings("text", write_parquet(tmp_path, item_id=ids, vector=[None, [1, 2], None, [3, 4]]))
    assert found.items == ["b", "c"]
    assert found.vectors.tolist() == [[1, 2], [3, 4]]


def test_a_file_of_several_batches_is_read_as_a_whole(tmp_path: Path) -> None:
    count = 20_000
    vectors = np.arange(3 * count, dtype=np.float32).reshape(count, 3)
    ids = [f"i{n}" for n in range(count)]
    column = pa.FixedSizeListArray.from_arrays(vectors.ravel(), 3)
    from_parquet = load_item_embeddings("text", write_parquet(tmp_path, item_id=ids, vector=column))
    from_array = load_item_embeddings("text", write_array(tmp_path, vectors, "\n".join(ids)))
    for found in (from_parquet, from_array):
        assert found.items == ids
        np.testing.assert_array_equal(found.vectors, vectors)
    ids[19_999] = "i1"
    with pytest.raises(InputError, match=r"rows 2 and 20000 of .*text.parquet have the item 'i1': keep one of them"):
        load_item_embeddings("text", write_parquet(tmp_path, item_id=ids, vector=column))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["a"], "vector": [[1.0]]}, r"has the columns id, vector: name the column of item ids item_id"),
        (
            {"item_id": ["a"], "vector": [1.0]},
            r"has the columns item_id, vector: of these, exactly one has to hold lists",
        ),
        ({"item_id": ["a"], "vector": [["x"]]}, r"has lists of string as embeddings: give whole numbers or"),
        ({"item_id": [1.5], "vector": [[1.0]]}, r"has double in the column item_id: give texts or whole numbers"),
        ({"item_id": ["a", None], "vector": VECTORS}, r"row 2 of .*text.parquet has no item id"),
        ({"item_id": ["a", ""], "vector": VECTORS}, r"row 2 of .*text.parquet has no item id"),
        ({"item_id": ["a", "a"], "vector": VECTORS}, r"rows 1 and 2 of .*text.parquet have the item 'a'"),
        (
            {"item_id": ["a", "b", "c"], "vector": [None, [1.0, 2.0], [1.0]]},
            r"row 3 of .* \(item 'c'\) has 1 number, and the rows before have 2: give all items .* one width",
        ),
        ({"item_id": ["a"], "vector": pa.array([[]], pa.list_(pa.float32()))}, r"row 1 of .* has 0 numbers"),
        ({"item_id": ["a", "b"], "vector": [[1.0, 2.0], [3.0, None]]}, r"row 2 .* 'b'\): number 2 of 2 is null; leave"),
        ({"item_id": ["a", "b"], "vector": [None, [3.0, NAN]]}, r"row 2 .* 'b'\): number 2 of 2 is nan, which is no"),
        ({"item_id": ["a"], "vector": [[1.0, float("-inf")]]}, r"row 1 .* 'a'\): number 2 of 2 is -inf"),
        ({"item_id": ["a"], "vector": [[1e39]]}, r"number 1 of 1 is 1e\+39, which is no finite number in float32"),
        ({"item_id": pa.array([], pa.string()), "vector": pa.array([], pa.list_(pa.float32()))}, r"hold no item"),
    ],
)
def test_a_parquet_file_that_is_not_usable_is_refused(columns: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load_item_embeddings("text", write_parquet(tmp_path, **columns))


@pytest.mark.parametrize(
    ("values", "ids", "message"),
    [
        (np.zeros(2), "a\nb\n", r"has the shape \(2,\): give one row of numbers for each item, \(items, width\)"),
        (np.zeros((2, 0)), "a\nb\n", r"has the shape \(2, 0\)"),
        (np.array([["x"], ["y"]]), "a\nb\n", r"has <U1 as embeddings: give whole numbers or floating point"),
        (np.zeros((2, 1), bool), "a\nb\n", r"has bool as embeddings"),
        (np.zeros((3, 1)), "a\nb\n", r"text.npy has 3 rows and .*text.ids has 2 lines: write one item id for each row"),
        (
            np.zeros((2, 1)),
            None,
            r"cannot be read: .*No such file.*text.ids.*; write the item ids into this file, one in a line",
        ),
        (np.zeros((2, 1)), "a\n\n", r"row 2 of .*text.npy has no item id"),
        (np.array([[0.0], [NAN]]), "a\nb\n", r"row 2 of .*text.npy \(item 'b'\): number 1 of 1 is nan"),
        (np.zeros((0, 4)), "", r"hold no item"),
    ],
)
def test_an_array_that_is_not_usable_is_refused(values: Any, ids: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load_item_embeddings("text", write_array(tmp_path, values, ids))


def test_objects_of_python_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "text.npy"
    np.save(path, np.array([[{}]]), allow_pickle=True)
    with pytest.raises(InputError, match=r"text.npy is not an array of numpy with numbers: write"):
        load_item_embeddings("text", path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.parquet", b"item_id,vector", r"text.parquet is not a Parquet file"),
        ("text.npy", b"item_id,vector", r"text.npy is not an array of numpy with numbers"),
        ("text.csv", b"item_id,vector", r"text.csv: the name has to end in .parquet or .npy"),
        ("text.parquet", None, r"text.parquet cannot be read: .*No such file"),
    ],
)
def test_other_files_are_refused(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_item_embeddings("text", tmp_path / name)


def test_sources_are_sorted_by_name_and_a_file_may_have_an_equals_sign() -> None:
    assert parse_sources(["text=a=b.npy", "picture=p.parquet"]) == {
        "picture": Path("p.parquet"),
        "text": Path("a=b.npy"),
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["titles.parquet"], r"--item-embeddings titles.parquet: give NAME=FILE, for example"),
        (["text="], r"--item-embeddings text=: give NAME=FILE"),
        (["a.b=x.npy"], r"--item-embeddings a.b=x.npy: give NAME=FILE.* letters, digits, _ and - alone"),
        (["text=a.npy", "text=b.npy"], r"--item-embeddings text=b.npy: 'text' is given twice"),
    ],
)
def test_an_argument_of_another_form_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_sources(arguments)
