"""A mapping file that cannot be used is refused with the file, the key, and what to write instead."""

from pathlib import Path

import pytest

from encoder.data.mapping import MappingError, load_mapping, parse_mapping
from encoder.errors import InputError

GOOD = 'user = "u"\nitem = "i"\naction = "a"\ntime = "t"\n'


def message_of(text: str) -> str:
    with pytest.raises(MappingError) as raised:
        parse_mapping(text, "shop.toml", "shop")
    message = str(raised.value)
    assert message.startswith("shop.toml")
    return message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user = u", "is not TOML: Invalid value (at line 1, column 8); texts and paths stand in quotes"),
        (GOOD + 'catgory = "c"', 'unknown key "catgory": did you mean "category"?'),
        (GOOD + 'zzz = "c"', 'unknown key "zzz": use one of description, documentation, extends'),
        ('user = "u"\nitem = "i"\naction = "a"', 'the key "time" is missing: say where the time stands'),
        (GOOD + "price = 3", """the key "price": 3 is no source: write a path in quotes, or { const = "3" }"""),
        (GOOD + 'price = ""', 'the key "price": an empty text is no path'),
        (GOOD + "price = []", 'the key "price": an empty list has no source'),
        (GOOD + 'price = "a..b"', """the key "price": 'a..b' is no path from '..b' on: write names with dots"""),
        (GOOD + 'price = "a[b"', "'a[b' is no path from '[b' on"),
        (GOOD + 'price = "headers:price"', "begins with an unknown place 'headers': did you mean \"header\"?"),
        (GOOD + 'price = "header:"', "`header:` names no header"),
        (GOOD + 'price = "timestamp:a"', "a timestamp has no parts: write `timestamp:`"),
        (
            GOOD + 'price = { form = "a" }',
            "a table needs exactly one of the keys const, from, join, hash, and has form",
        ),
        (GOOD + 'price = { from = "a", patern = "b" }', 'unknown key "patern" beside "from": did you mean "pattern"?'),
        (GOOD + 'price = { from = "a", pattern = "(" }', "is no regular expression"),
        (GOOD + 'price = { from = "a", pattern = "a" }', "has 0 groups: write one pair of parentheses"),
        (GOOD + 'price = { join = ["a"] }', "a join is a list of at least two sources"),
        (GOOD + 'price = { hash = "a" }', "a hash is of the record or of a list"),
        (GOOD + "price = { const = [1] }", "a constant is a text, a number or a time"),
        (GOOD.replace('"t"', '{ from = "t", unit = "min" }'), "unknown unit 'min': use one of s, ms, us, ns"),
        (GOOD + 'brand = "line:brand"', 'the key "brand" reads line:brand, and there is no line: name the list'),
        (GOOD + 'each = "l"\n[[where]]\nfrom = "line:a"\nin = ["b"]', 'the key "where" reads line:a'),
        (GOOD + 'each = "a[].b[].c"', "is no path of lists: write `items`"),
        (GOOD + "each = 3", "is no path of lists"),
        (GOOD + 'actions = "view"', 'write a table such as "Product Viewed" = "view"'),
        (GOOD + "[actions]\nview = 3", 'the key "actions.view" is 3: write a text, or false to drop the action'),
        (GOOD + 'other_actions = "no"', 'use "drop" or "keep"'),
        (GOOD + 'attributes = "a"', 'write a table such as color = "PATH"'),
        (GOOD + "[attributes]\ncolor = 3", 'the key "attributes.color": 3 is no source'),
        (GOOD + 'where = "op"', 'write [[where]] with from = "op" and in = ["c", "r"]'),
        (GOOD + '[[where]]\nfrom = "op"\nis = ["c"]', 'unknown key "where.is": use one of from, in'),
        (GOOD + '[[where]]\nfrom = "op"\nin = [1]', "with texts"),
        (GOOD + 'skip_without = ["time"]', "write a list of user, item"),
        (GOOD + 'extends = "segmnt"', 'no preset: did you mean "segment"?'),
        ("extends = 3", "is 3, no preset: use one of cloudevents"),
    ],
)
def test_the_message_names_the_file_the_key_and_a_remedy(text: str, expected: str) -> None:
    assert expected in message_of(text)


def test_a_path_that_is_neither_a_preset_nor_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match=r'segmnt is neither a preset nor a file .*: did you mean "segment"\?'):
        load_mapping("segmnt")
    binary = tmp_path / "shop.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(MappingError, match="UTF-8"):
        load_mapping(str(binary))
    with pytest.raises(InputError, match="is neither a preset nor a file"):
        load_mapping(str(tmp_path))


def test_a_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(GOOD)
    assert load_mapping(str(path)).name == "shop"
