"""Makes the decoder of a registered schema, with the schemas that the schema names."""

from collections.abc import Callable

from streams.broker.decoding.client import Reference, Registered
from streams.engine.payload.reader import JsonReader
from streams.engine.payload.registry_reader import Decode
from streams.engine.payload.wire_format import PREFIX_BYTES

_MOST_REFERENCES = 1_000
Referenced = Callable[[Reference], Registered]


def make_decoder(registered: Registered, referenced: Referenced) -> Decode:
    """The decoder of the values of a schema.

    referenced: asks the registry for a schema that another schema names. Raises ValueError for a schema that cannot be
    used, and what `referenced` raises.
    """
    if registered.kind == "AVRO":
        from streams.engine.payload.avro_values import avro_decoder

        named = _all_references(registered, referenced)
        return avro_decoder([*(one.schema for one in named.values()), registered.schema])
    if registered.kind == "PROTOBUF":
        from streams.broker.decoding.descriptors import descriptors_of
        from streams.engine.payload.protobuf_values import protobuf_decoder

        references = {name: one.schema for name, one in _all_references(registered, referenced).items()}
        return protobuf_decoder(*descriptors_of(registered.schema, references))
    if registered.kind == "JSON":
        return _decode_json
    raise ValueError(f"the schema is of the kind {registered.kind!r}; known: AVRO, PROTOBUF, JSON")


def _all_references(registered: Registered, referenced: Referenced) -> dict[str, Registered]:
    """The schemas that a schema names, by name, each behind the schemas that it names itself.

    Raises ValueError for schemas that name each other in a circle, and for more than _MOST_REFERENCES schemas.
    """
    found: dict[str, Registered] = {}
    under_way: set[str] = set()

    def visit(one: Registered) -> None:
        for reference in one.references:
            if reference.name in found:
                continue
            if reference.name in under_way or len(found) > _MOST_REFERENCES:
                raise ValueError(f"the references of the schema to {reference.name!r} have no end")
            under_way.add(reference.name)
            child = referenced(reference)
            visit(child)
            found[reference.name] = child

    visit(registered)
    return found


_read_json = JsonReader().read_batch


def _decode_json(value: bytes) -> object:
    """The JSON behind the prefix. The value is not held against its schema: the judge of events decides.

    The deserializer of Confluent's Java client does the same by default (`json.fail.invalid.schema` is false).
    """
    return _read_json([value[PREFIX_BYTES:]])[0]
