"""A file of items is read as a whole, and a row that is no item is an error that names line and value."""

from pathlib import Path

import msgspec
import pyarrow
import pyarrow.parquet
import pytest

from encoder.errors import InputError
from streams.commands.items.item_file import load_items
from streams.contracts.catalogue_items import CatalogueItem

DECODE = msgspec.json.Decoder(CatalogueItem).decode


def items_of(path: Path) -> dict[str, CatalogueItem]:
    return {item_id: DECODE(value) for item_id, value in load_items(path).values.items()}


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_json_lines_are_items_of_the_contract_and_other_fields_are_named(tmp_path: Path) -> None:
    lines = '{"item_id":"a","name":"A","price":2,"colour":"red"}\n\n{"item_id":"b","available":false,"brand":null}\n'
    path = written(tmp_path, "items.jsonl", lines)
    assert items_of(path) == {
        "a": CatalogueItem("a", name="A", price=2.0),
        "b": CatalogueItem("b", available=False),
    }
    assert load_items(path).ignored == ["colour"]


def test_a_csv_has_quoted_cells_empty_cells_and_several_notations(tmp_path: Path) -> None:
    text = (
        "\ufeffitem_id;name;category;price;available;first_seen_ms;stock\r\n"
        '7;"Shoes; ""moss"",\r\nof two lines";shoes;"EUR 1.234,50";Yes;2026-11-01T12:00:00Z;3\r\n'
        "8;;;;no;1760000000000;\r\n"
    )
    path = written(tmp_path, "items.csv", text)
    assert items_of(path) == {
        "7": CatalogueItem(
            "7", name='Shoes; "moss",\r\nof two lines', category="shoes", price=1234.5, first_seen_ms=1_793_534_400_000
        ),
        "8": CatalogueItem("8", available=False, first_seen_ms=1_760_000_000_000),
    }
    assert load_items(path).ignored == ["stock"]


def test_a_file_of_tabs_is_a_table_too(tmp_path: Path) -> None:
    path = written(tmp_path, "items.tsv", "item_id\tname\n1\tA, B\n")
    assert items_of(path) == {"1": CatalogueItem("1", name="A, B")}


def test_parquet_has_numbers_as_ids_times_as_timestamps_and_nulls(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    columns = {
        "item_id": pyarrow.array([7, 8]),
        "category": pyarrow.array(["shoes", "bags"]).dictionary_encode(),
        "price": pyarrow.array([1.5, None]),
        "available": pyarrow.array([False, None]),
        "first_seen_ms": pyarrow.array([1_760_000_000_000_000, None], pyarrow.timestamp("us")),
        "vector": pyarrow.array([[1.0], [2.0]]),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    assert items_of(path) == {
        "7": CatalogueItem("7", category="shoes", price=1.5, available=False, first_seen_ms=1_760_000_000_000),
        "8": CatalogueItem("8", category="bags"),
    }
    assert load_items(path).ignored == ["vector"]


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.csv", "item_id,price\n1,2\n2,abc\n", ["line 3 of", "price is 'abc'"]),
        ("a.csv", "item_id,price\n1,-3\n", ["line 2 of", "price is -3.0", ">= 0.0"]),
        ("a.csv", "item_id,price\n1,inf\n", ["line 2 of", "price is inf"]),
        ("a.csv", "item_id,available\n1,maybe\n", ["line 2 of", "available is 'maybe'", "true, yes, 1, false, no, 0"]),
        ("a.csv", "item_id,first_seen_ms\n1,1760000000\n", ["line 2 of", "1760000000", "not seconds"]),
        ("a.csv", "item_id,first_seen_ms\n1,soon\n", ["line 2 of", "first_seen_ms", "'soon'"]),
        ("a.csv", "item_id,name\n1\n", ["line 2 of", "has 1 cell, and the header has 2"]),
        ("a.csv", "item_id,name\n,x\n", ["line 2 of", "item_id is missing"]),
        ("a.csv", "item_id,name\n1,a\n1,b\n", ["line 2 and line 3 of", "the item '1'", "keep one"]),
        ("a.csv", "id,name\n1,a\n", ["no column item_id", "it has: id, name"]),
        ("a.csv", "item_id,name,name\n1,a,b\n", ["several columns with the name name"]),
        ("a.csv", 'item_id,name\n1,"a\n', ["line 2 of", "no line of a CSV"]),
        ("a.csv", b"item_id,name\n1,\xff\n", ["line 2 of", "not UTF-8"]),
        ("a.csv", "item_id\n", ["has no items"]),
        ("a.jsonl", '{"item_id":"a"}\n{"item_id":3}\n', ["line 2 of", "item_id is 3", "got `int`"]),
        ("a.jsonl", '{"item_id":"a","available":"yes"}\n', ["line 1 of", 'available is "yes"']),
        ("a.jsonl", '{"item_id":"a"\n', ["line 1 of", "not JSON"]),
        ("a.jsonl", '{"item_id":"' + "x" * 513 + '"}\n', ["line 1 of", "item_id is", "length <= 512"]),
        ("a.parquet", "no table", ["is not a Parquet file"]),
    ],
)
def test_a_broken_row_is_an_error_with_its_line_and_value(
    tmp_path: Path, name: str, content: str | bytes, parts: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        load_items(written(tmp_path, name, content))
    for part in parts:
        assert part in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.csv cannot be read: No such file"):
        load_items(tmp_path / "no.csv")
