"""Protobuf schemas as texts and as descriptors in Base64, with imports of both forms."""

import base64

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from streams.broker.decoding.descriptors import descriptors_of
from streams.broker.decoding.protoc import compile_proto
from streams.engine.payload.protobuf_values import protobuf_decoder
from tests.tools.schema_registry.written import prefix

ITEM = 'syntax = "proto3"; package shop; message Item { string id = 1; }'
EVENT = """syntax = "proto3";
import "parts/item.proto";
import "google/protobuf/timestamp.proto";
message Event { shop.Item item = 1; google.protobuf.Timestamp at = 2; }
"""
FILES = {"event.proto": EVENT, "parts/item.proto": ITEM}
VALUE = prefix(1) + b"\0" + b"\x0a\3\x0a\1i" + b"\x12\2\x08\5"
READ = {"item": {"id": "i"}, "at": 5_000}


def in_base64(file: str) -> str:
    """Return a file of FILES as Confluent's Python serializer registers the file."""
    files = FileDescriptorSet.FromString(compile_proto("event.proto", FILES)).file
    return base64.b64encode(next(one for one in files if one.name == file).SerializeToString()).decode()


@pytest.mark.parametrize(("event_is_text", "item_is_text"), [(True, True), (False, True), (False, False)])
def test_both_forms_give_the_same_values(event_is_text: bool, item_is_text: bool) -> None:
    event = EVENT if event_is_text else in_base64("event.proto")
    item = ITEM if item_is_text else in_base64("parts/item.proto")
    assert protobuf_decoder(*descriptors_of(event, {"parts/item.proto": item}))(VALUE) == READ


def test_a_reference_may_have_the_name_of_our_file() -> None:
    other = 'syntax = "proto3"; message Other { int32 x = 1; }'
    event = 'syntax = "proto3"; import "schema.proto"; message Event { Other other = 1; }'
    decode = protobuf_decoder(*descriptors_of(event, {"schema.proto": other}))
    assert decode(prefix(1) + b"\0" + b"\x0a\2\x08\5") == {"other": {"x": 5}}


@pytest.mark.parametrize("schema", ["", "message", "AAAA", 'syntax = "proto3"; import "missing.proto";'])
def test_another_text_is_refused(schema: str) -> None:
    with pytest.raises(ValueError, match=r"the (Protobuf )?schema (cannot be|has no)"):
        protobuf_decoder(*descriptors_of(schema, {}))(VALUE)


@pytest.mark.parametrize("name", ["", ".", "a" * 300, "schema.proto/x.proto"])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be compiled"):
        compile_proto("schema.proto", {"schema.proto": ITEM, name: ITEM})
