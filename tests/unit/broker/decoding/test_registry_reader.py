"""What the bytes in front of a value decide."""

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from hypothesis import given
from hypothesis import strategies as st

from streams.engine.codec import Rejected
from streams.engine.payload.registry_reader import Decode, RegistryReader
from streams.engine.payload.wire_format import message_indexes, schema_id
from tests.tools.schema_registry.written import json_value, prefix


class Known:
    """The schemas 1 (gives the body as a text) and 2 (cannot be had)."""

    def __init__(self) -> None:
        self.asked: list[AbstractSet[int]] = []

    def decoders(self, ids: AbstractSet[int]) -> Mapping[int, Decode | Rejected]:
        self.asked.append(ids)
        return {1: lambda value: {"body": value[5:].decode()}, 2: Rejected("schema 2 is not registered", "schema")}


def test_values_are_read_by_their_schema_in_order() -> None:
    known = Known()
    values = [prefix(1) + b"a", prefix(2) + b"b", b'{"c": 1}', prefix(1) + b"\xff", prefix(1) + b"d"]
    read = RegistryReader(known).read_batch(values)
    assert known.asked == [{1, 2}], "a batch asks once"
    assert [read[0], read[2], read[4]] == [{"body": "a"}, {"c": 1}, {"body": "d"}]
    assert read[1] == Rejected("schema 2 is not registered", "schema")
    assert isinstance(read[3], Rejected)
    assert read[3].field == "value"
    assert read[3].reason.startswith("value cannot be read by schema 1: 'utf-8' codec")


def test_a_value_without_an_id_is_json_or_is_rejected() -> None:
    read = RegistryReader(Known()).read_batch([b'{"price": NaN}', b"", b"Obj\1", b"\0\0\1", b"[1]"])
    assert list(read[0]) == ["price"]
    assert [isinstance(one, Rejected) for one in read] == [False, True, True, True, False]
    assert "no schema id" in read[2].reason
    assert "3 bytes" in read[3].reason


@given(st.binary(max_size=12))
def test_only_the_byte_0_and_four_bytes_are_an_id(value: bytes) -> None:
    found = schema_id(value)
    assert (found is not None) == (len(value) >= 5 and value[0] == 0 and value[1] < 0x80)
    assert schema_id(json_value(2**31 - 1, {})) == 2**31 - 1


def test_a_number_that_no_registry_gives_is_no_id() -> None:
    """Confluent's registry answers 404 without the code of an unknown id, and a worker waited without end."""
    known = Known()
    for number in (2**31, 2**32 - 1):
        (read,) = RegistryReader(known).read_batch([json_value(number, {})])
        assert isinstance(read, Rejected)
        assert "the byte 0 and a schema id of 4 bytes are expected, and an id is at most 2147483647" in read.reason
    assert known.asked == [set(), set()]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=5))
def test_message_indexes_come_back(path: list[int]) -> None:
    written = b"".join(_varint(2 * number) for number in (len(path), *path))
    assert message_indexes(prefix(1) + written + b"message") == (tuple(path), 5 + len(written))


def test_json_of_any_size_is_no_schema_id() -> None:
    assert schema_id(json.dumps({"a": "b" * 100}).encode()) is None


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
