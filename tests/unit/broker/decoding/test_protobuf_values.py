"""Protobuf values as plain objects: names, presence, well-known types, imports, and bytes that are no message."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.broker.decoding.protoc import compile_proto
from streams.engine.payload.protobuf_values import protobuf_decoder
from tests.tools.schema_registry.written import message_class, prefix, protobuf

ID = 7
ITEM = """
syntax = "proto3";
package shop;
enum Kind { UNKNOWN = 0; BOOK = 1; }
message Item { string id = 1; double price = 2; Kind kind = 3; }
"""
EVENT = """
syntax = "proto3";
package shop;
import "parts/item.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
message Other { message Inner { int32 x = 1; } }
message Event {
  string eventId = 1;
  int64 event_time_ms = 2;
  optional double price = 3;
  double amount = 4;
  Item item = 5;
  repeated Item lines = 6;
  map<string, string> attributes = 7;
  google.protobuf.Timestamp at = 8;
  google.protobuf.StringValue note = 9;
  google.protobuf.Struct extra = 10;
  bool is_bot = 11;
  oneof source { string web = 12; int32 shop = 13; }
  Event parent = 14;
  bytes raw = 15;
}
"""
OLD = """
syntax = "proto2";
message Old { required string id = 1; optional int32 count = 2 [default = 3]; optional string note = 3; }
"""
FILES = {"event.proto": EVENT, "parts/item.proto": ITEM}
EMPTY = {"lines": [], "attributes": {}, "is_bot": False}


@pytest.fixture(scope="module")
def descriptors() -> bytes:
    return compile_proto("event.proto", FILES)


@pytest.fixture(scope="module")
def event_class(descriptors: bytes) -> Any:
    return message_class(descriptors, "shop.Event")


def read(descriptors: bytes, message: Any) -> Any:
    return protobuf_decoder(descriptors, "event.proto")(protobuf(ID, b"\2\2", message))


def test_names_and_numbers_are_those_of_the_file(descriptors: bytes, event_class: Any) -> None:
    found = read(descriptors, event_class(eventId="e", event_time_ms=2**62, raw=b"\xff"))
    assert found == {"eventId": "e", "event_time_ms": 2**62, "raw": b"\xff", **EMPTY}


def test_what_is_missing_is_left_out(descriptors: bytes, event_class: Any) -> None:
    assert read(descriptors, event_class()) == EMPTY
    assert read(descriptors, event_class(amount=0.0, eventId="")) == EMPTY
    assert read(descriptors, event_class(price=0.0, shop=0)) == {"price": 0.0, "shop": 0, **EMPTY}


def test_messages_lists_maps_and_enums(descriptors: bytes, event_class: Any) -> None:
    event = event_class(attributes={"a": "b"}, is_bot=True, parent=event_class(eventId="p"))
    event.item.id, event.item.kind = "i", 1
    event.lines.add(id="1", price=2.5)
    event.lines.add(id="2", kind=9)
    assert read(descriptors, event) == {
        "item": {"id": "i", "kind": "BOOK"},
        "lines": [{"id": "1", "price": 2.5, "kind": "UNKNOWN"}, {"id": "2", "kind": 9}],
        "attributes": {"a": "b"},
        "is_bot": True,
        "parent": {"eventId": "p", **EMPTY},
    }


def test_well_known_types(descriptors: bytes, event_class: Any) -> None:
    event = event_class()
    event.at.FromJsonString("1969-12-31T23:59:59.998500Z")
    event.note.value = ""
    event.extra.update({"a": [1, None], "b": {"c": "d"}})
    found = read(descriptors, event)
    assert (found["at"], found["note"], found["extra"]) == (-2, "", {"a": [1.0, None], "b": {"c": "d"}})


def test_a_default_of_proto2_counts() -> None:
    descriptors = compile_proto("old.proto", {"old.proto": OLD})
    old = message_class(descriptors, "Old")
    decode = protobuf_decoder(descriptors, "old.proto")
    assert decode(protobuf(ID, b"\0", old(id="x"))) == {"id": "x", "count": 3}


def test_indexes_name_the_message(descriptors: bytes) -> None:
    decode = protobuf_decoder(descriptors, "event.proto")
    assert decode(prefix(ID) + b"\4\0\0" + b"\x08\5") == {"x": 5}, "the first message in the first message"
    assert decode(prefix(ID) + b"\0") == {}, "a single 0 is the first message"
    for indexes, why in (
        (b"\2\6", r"indexes \[3\]"),
        (b"\1", "-1 message indexes"),
        (b"\4\0", "without an end"),
        (b"", "without an end"),
    ):
        with pytest.raises(ValueError, match=why):
            decode(prefix(ID) + indexes)


def test_unknown_fields_are_ignored(descriptors: bytes, event_class: Any) -> None:
    decode = protobuf_decoder(descriptors, "event.proto")
    later = bytes(event_class(eventId="e").SerializeToString()) + b"\xf8\x07\x05"  # field 127, which no schema has
    assert decode(prefix(ID) + b"\2\2" + later)["eventId"] == "e"


@given(body=st.binary(max_size=40))
def test_any_bytes_are_a_value_or_a_value_error(descriptors: bytes, body: bytes) -> None:
    decode = protobuf_decoder(descriptors, "event.proto")
    with contextlib.suppress(ValueError):
        assert isinstance(decode(prefix(ID) + body), dict)


def test_a_file_that_cannot_be_compiled_is_refused_in_the_compilers_words() -> None:
    with pytest.raises(ValueError, match=r"cannot be compiled: parts/item\.proto: File not found"):
        compile_proto("event.proto", {"event.proto": EVENT})
    with pytest.raises(ValueError, match="is no name of a file"):
        compile_proto("event.proto", {**FILES, "../outside.proto": ITEM})
