"""The representation update, and the vectors in it. Pure. msgspec writes bytes as base64 (RFC 4648, section 4)."""

import re
from collections.abc import Iterable
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from streams.contracts.fields import Count, RecordId, TimeMs

_UPDATE_KEY = re.compile(r"\w+-[0-9a-f]{12}/")  # the form of a bundle id: `bundle_id` in export/runtime/bundle.py


RECENT_ITEMS = (
    "base64 of K little-endian 32-bit integers: the user's last distinct items as rows of item_vectors.npy, the newest "
    "first, -1 for an empty place; only where the bundle knows recent items"
)
BOUGHT_ITEMS = (
    "base64 of little-endian 32-bit integers: the last distinct items that the user bought, in the form of "
    "recent_items; only where the bundle knows purchase actions"
)
RECENT_SCORES = "base64 of K little-endian 32-bit floats: add each to the dot product of its recent item"


class RepresentationUpdate(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A user's representation after an event; key = bundle_id/user_id. A null value: the bundle forgot the user.

    Several bundles share one compacted topic, so the key holds both. Updates of earlier versions have the key user_id,
    and an update with the longer key is newer. An erasure also writes a null value under the key user_id, which takes
    only the update of an earlier version.
    """

    user_id: str
    bundle_id: str
    representation: Annotated[bytes, Meta(description="base64 of D little-endian 32-bit floats")]
    steps: Count
    event_time_ms: TimeMs
    source: RecordId
    recent_items: Annotated[bytes, Meta(description=RECENT_ITEMS)] | None = None
    recent_scores: Annotated[bytes, Meta(description=RECENT_SCORES)] | None = None
    bought_items: Annotated[bytes, Meta(description=BOUGHT_ITEMS)] | None = None

    @property
    def has_noise(self) -> bool:
        """Whether noise hides the vector. Such an update tells no number of steps, and an exact one has a step."""
        return self.steps == 0


read_json_update = msgspec.json.Decoder(RepresentationUpdate).decode  # raises ValueError


def update_keys(bundle_id: str, user_ids: Iterable[str]) -> list[bytes]:
    """The key of each user's update: `<bundle_id>/<user_id>` in UTF-8. A bundle id holds no slash."""
    prefix = f"{bundle_id}/"
    return [(prefix + user_id).encode() for user_id in user_ids]


def tombstone_keys(bundle_id: str, user_id: str) -> list[bytes]:
    """The keys under which an erasure writes null values: the present key, and the key of earlier versions.

    Earlier versions wrote updates under the user alone. A user id may look like the key of another user, such as
    `gru-0f3a5c7e9b1d/u-42`. An erasure of this user must not take the update of u-42, so the older key is left out.
    """
    keys = update_keys(bundle_id, [user_id])
    return keys if _UPDATE_KEY.match(user_id) else [*keys, user_id.encode()]


def decode_vector(field: bytes) -> NDArray[np.float32]:
    """The field `representation` or `recent_scores` as float32. Raises ValueError when the bytes are not floats."""
    return np.frombuffer(field, "<f4").astype(np.float32)


def decode_items(field: bytes) -> NDArray[np.int32]:
    """The field `recent_items` or `bought_items` as (K,) int32. Raises ValueError when the bytes are not integers."""
    return np.frombuffer(field, "<i4").astype(np.int32)
