"""The representation update in the fields that a schema gives. Pure."""

from typing import Any

import msgspec
import numpy as np

from streams.contracts.representation_updates import RepresentationUpdate

_VECTORS = {"representation": "<f4", "recent_items": "<i4", "recent_scores": "<f4", "bought_items": "<i4"}
_NUMBERS = ("steps", "event_time_ms")


def update_of(fields: Any) -> RepresentationUpdate:
    """The update in a decoded value. Further fields are ignored, as later versions may have.

    An empty array stands for a field that the bundle does not know, and a missing number for 0, which Protobuf leaves
    out. A vector may be a text in base64, as in JSON. Raises ValueError for fields of another form.
    """
    if not isinstance(fields, dict):
        raise ValueError(f"an update is an object, and not {type(fields).__name__}")
    known = {**dict.fromkeys(_NUMBERS, 0), **fields}
    for name, kind in _VECTORS.items():
        if isinstance(items := known.get(name), list):
            try:
                vector = np.array(items, kind)
            except (TypeError, ValueError, OverflowError) as error:
                raise ValueError(f"{name} holds no numbers: {error}") from None
            known[name] = vector.tobytes() if items else None
    try:
        update = msgspec.convert(known, RepresentationUpdate)
        (update.user_id + update.bundle_id + update.source).encode()  # JSON may hold half a character
        return update
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
