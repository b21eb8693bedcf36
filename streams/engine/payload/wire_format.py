"""The bytes in front of a value that was written with a schema registry. Pure.

The format is Confluent's: the byte 0, the id of the schema as 4 bytes, big-endian, then the value. In front of a value
of Protobuf stand the message indexes, which say which message of the schema the value is.
https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
"""

MAGIC = 0
PREFIX_BYTES = 5
HIGHEST_ID = 2**31 - 1  # Registries keep an id as a number of 32 bits with a sign.
_LONGEST_PATH = 100  # Protobuf's parsers nest messages up to this depth.
_LONGEST_VARINT_BYTES = 10


def schema_id(value: bytes) -> int | None:
    """The id of the schema with which a value was written; None for a value without such an id.

    A number above HIGHEST_ID is no id. Confluent's registry answers a question for such a number as if its API had no
    such path, and a reader would wait for the registry for ever.
    """
    if len(value) < PREFIX_BYTES or value[0] != MAGIC:
        return None
    found = int.from_bytes(value[1:PREFIX_BYTES], "big")
    return found if found <= HIGHEST_ID else None


def message_indexes(value: bytes) -> tuple[tuple[int, ...], int]:
    """The path to a message of a Protobuf schema, and the place where the message begins.

    (1, 0) is the first message that is declared in the second message of the file. The numbers are varints in zigzag
    form: their count, then each. The single byte 0 stands for (0,). Raises ValueError.
    """
    count, at = _zigzag(value, PREFIX_BYTES)
    if count == 0:
        return (0,), at
    if not 0 < count <= _LONGEST_PATH:
        raise ValueError(f"{count} message indexes")
    path = []
    for _ in range(count):
        index, at = _zigzag(value, at)
        if index < 0:
            raise ValueError(f"the message index {index}")
        path.append(index)
    return tuple(path), at


def _zigzag(value: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift, byte in enumerate(value[at : at + _LONGEST_VARINT_BYTES]):
        number |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at + shift + 1
    raise ValueError("message indexes without an end")
