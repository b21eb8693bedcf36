"""Decodes Protobuf values to plain objects, by descriptors and without generated code. Pure.

Names are those of the .proto file. An enum becomes its symbol, a google.protobuf.Timestamp becomes milliseconds since
1970, and a wrapper such as google.protobuf.StringValue becomes its value. A field of a group, an extension or a number
that the schema does not know is left out.

A text or a number without presence (proto3 without `optional`) that is empty or 0 is left out, because nobody can tell
it from a missing one. So a missing price is no price of 0.
"""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from streams.engine.payload.registry_reader import Decode
from streams.engine.payload.wire_format import message_indexes

Read = Callable[[Any], Any]  # what stands in a field of a message -> a plain object
_WELL_KNOWN = "google.protobuf."
_WRAPPERS = {
    f"{_WELL_KNOWN}{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
}
_JSON_LIKE = {f"{_WELL_KNOWN}{kind}" for kind in ("Struct", "Value", "ListValue", "Duration", "FieldMask")}
_NANOS_PER_MS = 1_000_000


def protobuf_decoder(descriptors: bytes, file: str) -> Decode:
    """A decoder of Protobuf values with the wire format's prefix.

    descriptors: a google.protobuf.FileDescriptorSet with a file before every file that imports it. file: the name of
    the file with the messages. Raises ValueError for descriptors that cannot be used.
    """
    pool = descriptor_pool.DescriptorPool()
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(descriptors).file
        for one in files:
            pool.Add(one)
    except (TypeError, DecodeError) as error:
        raise ValueError(f"the Protobuf schema cannot be used: {error}") from None
    main = next(one for one in files if one.name == file)
    known: dict[tuple[int, ...], Decode] = {}

    def decode(value: bytes) -> Any:
        path, start = message_indexes(value)
        read = known.get(path)
        if read is None:
            read = known[path] = _message_decoder(pool.FindMessageTypeByName(_full_name(main, path)))
        return read(value[start:])

    return decode


def _full_name(file: Any, path: tuple[int, ...]) -> str:
    """The name of the message at a path of indexes. Raises ValueError where there is none."""
    names, messages = [file.package] if file.package else [], file.message_type
    for index in path:
        if index >= len(messages):
            raise ValueError(f"the schema has no message with the indexes {list(path)}")
        names.append(messages[index].name)
        messages = messages[index].nested_type
    return ".".join(names)


def _message_decoder(descriptor: Descriptor) -> Decode:
    parse = message_factory.GetMessageClass(descriptor).FromString
    read = _message_reader(descriptor, {})

    def decode(message: bytes) -> Any:
        try:
            return read(parse(message))
        except DecodeError as error:
            raise ValueError(f"no message {descriptor.full_name}: {error}") from None

    return decode


def _message_reader(descriptor: Descriptor, known: dict[str, Read]) -> Read:
    """known: the readers of the messages around this one, because a message may hold messages of its own kind."""
    name = descriptor.full_name
    if name == f"{_WELL_KNOWN}Timestamp":
        return lambda time: time.seconds * 1000 + time.nanos // _NANOS_PER_MS
    if name in _WRAPPERS:
        return lambda wrapper: wrapper.value
    if name in _JSON_LIKE:
        to_dict: Read = json_format.MessageToDict
        return to_dict
    if name in known:
        return lambda message: known[name](message)
    fields: list[tuple[str, bool, bool, Read | None]] = []

    def read(message: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field, is_optional, may_be_missing, convert in fields:
            if is_optional and not message.HasField(field):
                continue
            value = getattr(message, field)
            if may_be_missing and not value:
                continue
            found[field] = value if convert is None else convert(value)
        return found

    known[name] = read
    fields += [_plan(field, known) for field in descriptor.fields]
    return read


def _plan(field: FieldDescriptor, known: dict[str, Read]) -> tuple[str, bool, bool, Read | None]:
    """The name of the field, whether it has presence, whether 0 and "" mean that it is missing, and its reader."""
    is_message = field.message_type is not None
    convert = _message_reader(field.message_type, known) if is_message else _enum_reader(field)
    is_optional = field.has_presence and not field.has_default_value
    if field.is_repeated:
        if is_message and field.message_type.GetOptions().map_entry:
            convert = _map_reader(field.message_type.fields_by_name["value"], known)
        else:
            convert = _list_reader(convert)
    may_be_missing = not (field.has_presence or field.is_repeated or field.enum_type or _is_bool(field))
    return field.name, is_optional, may_be_missing, convert


def _is_bool(field: FieldDescriptor) -> bool:
    return bool(field.type == FieldDescriptor.TYPE_BOOL)


def _enum_reader(field: FieldDescriptor) -> Read | None:
    if field.enum_type is None:
        return None
    symbols: Mapping[int, str] = {number: value.name for number, value in field.enum_type.values_by_number.items()}
    return lambda number: symbols.get(number, number)


def _list_reader(convert: Read | None) -> Read:
    return list if convert is None else lambda values: [convert(value) for value in values]


def _map_reader(field: FieldDescriptor, known: dict[str, Read]) -> Read:
    convert = _enum_reader(field) if field.message_type is None else _message_reader(field.message_type, known)
    if convert is None:
        return lambda values: {str(key): value for key, value in values.items()}
    return lambda values: {str(key): convert(value) for key, value in values.items()}
