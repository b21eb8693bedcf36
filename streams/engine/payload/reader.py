"""The reader of payloads: the bytes of values as Python objects. Pure."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from encoder.data.contract.judge import read_object
from encoder.data.contract.rejection import why_not_an_object
from streams.engine.codec import Rejected


class PayloadReader(Protocol):
    """Reads the values of records. Raises nothing for bad input."""

    def read_batch(self, values: Sequence[bytes]) -> list[Any]:
        """The object of each value, in order, or a `Rejected` that says why the value cannot be read."""
        ...


class JsonReader:
    """Reads JSON. A name that stands twice in one object has its last value."""

    def __init__(self, wanted: Any = Any) -> None:
        """wanted: a type for msgspec that says which parts of an object are wanted. Objects of other shapes are read as
        a whole.
        """
        self._decode = msgspec.json.Decoder(wanted).decode

    def read_batch(self, values: Sequence[bytes]) -> list[Any]:
        decode, found = self._decode, []
        for value in values:
            try:
                found.append(decode(value))
            except (ValueError, RecursionError):
                found.append(read_json(value))
        return found


_decode_anything = msgspec.json.Decoder().decode


def read_json(value: bytes) -> Any:
    """The whole object of JSON, also with NaN or with bytes outside UTF-8. The judge decides about the fields.

    Returns a Rejected for a value that is not JSON.
    """
    try:
        return _decode_anything(value)
    except (ValueError, RecursionError):
        fields = read_object(value)
    if fields is not None:
        return fields
    why = why_not_an_object(value)
    return Rejected(why.reason, why.field)
