"""The descriptors of a Protobuf schema, whichever form the registry gives the schema in.

The form is the text of a .proto file. Confluent's Python serializer registers the file as a descriptor in Base64
instead. Confluent's registry turns the descriptor into text, and Apicurio keeps the descriptor as it came.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

from streams.broker.decoding.protoc import compile_proto


class Descriptors(NamedTuple):
    """A serialized google.protobuf.FileDescriptorSet, and the name of the file in it that has the messages."""

    file_set: bytes
    file: str


def descriptors_of(schema: str, references: Mapping[str, str]) -> Descriptors:
    """The descriptors of a schema and everything that the schema imports.

    references: the schemas that the schema imports, by name, each behind the schemas that it imports itself. Raises
    ValueError for schemas that cannot be used, and RegistryError.
    """
    file = _name_beside(references)
    main = _from_base64(schema)
    if main is None:
        return Descriptors(compile_proto(file, {**references, file: schema}), file)
    files: list[Any] = []
    texts: dict[str, str] = {}
    for name, text in references.items():
        reference = _from_base64(text)
        if reference is None:
            texts[name] = text
        else:
            reference.name = name  # Other files import the schema under this name.
            files.append(reference)
    files.append(main)
    names = {one.name for one in files}
    imports = "".join(sorted({f'import "{name}";\n' for one in files for name in one.dependency if name not in names}))
    compiled = compile_proto(file, {**texts, file: f'syntax = "proto3";\n{imports}'})
    return Descriptors(
        FileDescriptorSet(file=[*FileDescriptorSet.FromString(compiled).file, *files]).SerializeToString(), main.name
    )


def _from_base64(schema: str) -> Any | None:
    """The google.protobuf.FileDescriptorProto of a schema in Base64; None for a text, which has other characters."""
    try:
        return FileDescriptorProto.FromString(base64.b64decode(schema.encode(), validate=True))
    except (binascii.Error, DecodeError):
        return None


def _name_beside(names: Mapping[str, str]) -> str:
    name = "schema.proto"
    while name in names:
        name = f"the_{name}"
    return name
