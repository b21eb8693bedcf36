"""A user's state as the bytes of one Cassandra cell. Pure.

One cell, because two workers may write the same source position (one that was paused, and its successor): Cassandra
settles equal timestamps cell by cell, and a state of the one beside a position or a checksum of the other would be no
state at all. Both are right, up to float32 rounding, so it does not matter which cell wins.

    format uint8, epoch int32, partition int32, offset int64, steps int64, last_time_ms int64,
    length of the last item uint16, last item (UTF-8), RECENT hashes uint64, state (S,) float32,
    CRC-32 of all before; little-endian
"""

import struct
import zlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.arena import RECENT

FORMAT = 1
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


def encode_state(
    epoch: int,
    partition: int,
    offset: int,
    steps: int,
    last_time_ms: int,
    last_item: str | None,
    recent: Sequence[int],
    state: bytes,
) -> bytes:
    """The cell; `state` is (S,) float32 as little-endian bytes."""
    item = b"" if last_item is None else last_item.encode()
    head = _HEAD.pack(FORMAT, epoch, partition, offset, steps, last_time_ms, len(item))
    body = b"".join((head, item, _RECENT.pack(*recent, *(0,) * (RECENT - len(recent))), state))
    return body + _CRC.pack(zlib.crc32(body))


def decode_state(cell: bytes, width: int) -> State:
    """The state in a cell; width: S. Raises ValueError, saying what is wrong, for anything but an intact cell."""
    if len(cell) < _HEAD.size + _RECENT.size + _CRC.size:
        raise ValueError(f"it has only {len(cell)} bytes")
    body = cell[: -_CRC.size]
    if zlib.crc32(body) != _CRC.unpack_from(cell, len(body))[0]:
        raise ValueError("its checksum is wrong")
    form, epoch, partition, offset, steps, last_time_ms, length = _HEAD.unpack_from(body)
    if form != FORMAT:
        raise ValueError(f"it has format {form}, this version reads {FORMAT}")
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
