"""A user's state as the bytes of one Cassandra cell. Pure.

    format uint8, epoch int32, partition int32, offset int64, steps int64, last_time_ms int64,
    length of the last item uint16, last item (UTF-8), RECENT hashes uint64, state (S,) float32,
    CRC-32; little-endian

The checksum covers the cell, the representation that stands beside it in the row, and whose state it is: the user and
the bundle. A cell that was damaged, or belongs to another user or bundle, is found out before it is used.
"""

import struct
import zlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.arena import RECENT
from streams.errors import StateFormatError

FORMAT = 2
_HEAD = struct.Struct("<BiiqqqH")
_RECENT = struct.Struct(f"<{RECENT}Q")
_CRC = struct.Struct("<I")


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a state cell holds. state: (S,) float32; recent: up to RECENT hashes, oldest first."""

    epoch: int
    partition: int
    offset: int
    steps: int
    last_time_ms: int
    last_item: str | None
    recent: Sequence[int]
    state: NDArray[np.float32]


def owner_crc(bundle_id: bytes, user_id: bytes) -> int:
    """What the checksum of a user's cell begins with."""
    return zlib.crc32(user_id, zlib.crc32(bundle_id))


def encode_state(
    owner: int,
    representation: bytes,
    epoch: int,
    partition: int,
    offset: int,
    steps: int,
    last_time_ms: int,
    last_item: str | None,
    recent: Sequence[int],
    state: bytes,
) -> bytes:
    """The cell. owner: of `owner_crc`; representation: as it is stored; state: (S,) float32, little-endian bytes."""
    item = b"" if last_item is None else last_item.encode()
    head = _HEAD.pack(FORMAT, epoch, partition, offset, steps, last_time_ms, len(item))
    body = b"".join((head, item, _RECENT.pack(*recent, *(0,) * (RECENT - len(recent))), state))
    return body + _CRC.pack(zlib.crc32(representation, zlib.crc32(body, owner)))


def decode_state(owner: int, representation: bytes, cell: bytes, width: int) -> State:
    """The state in a cell; width: S. Raises ValueError, saying what is wrong, for anything but an intact row, and
    StateFormatError for the intact one of another version.
    """
    if len(cell) < _HEAD.size + _RECENT.size + _CRC.size:
        raise ValueError(f"it has only {len(cell)} bytes")
    body = cell[: -_CRC.size]
    if zlib.crc32(representation, zlib.crc32(body, owner)) != _CRC.unpack_from(cell, len(body))[0]:
        raise ValueError("its checksum is wrong")
    if body[0] != FORMAT:  # not damaged: another version's, and to rebuild it would throw history away
        raise StateFormatError(f"a stored state has format {body[0]}, this version reads {FORMAT}: use one version")
    _, epoch, partition, offset, steps, last_time_ms, length = _HEAD.unpack_from(body)
    at = _HEAD.size + length
    state = np.frombuffer(body, "<f4", offset=at + _RECENT.size).astype(np.float32)
    if len(state) != width:
        raise ValueError(f"it holds a state of {len(state)} numbers, the bundle has {width}")
    return State(
        epoch=epoch,
        partition=partition,
        offset=offset,
        steps=steps,
        last_time_ms=last_time_ms,
        last_item=body[_HEAD.size : at].decode() or None,
        recent=[digest for digest in _RECENT.unpack_from(body, at) if digest],
        state=state,
    )
