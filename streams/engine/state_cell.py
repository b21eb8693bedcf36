"""A user's state as the bytes of one Cassandra cell. Pure.

    format uint8, epoch int32, partition int32, offset int64, steps int64, last_time_ms int64,
    length of the last item uint16, last item (UTF-8), RECENT hashes uint64, state (S,) float32,
    CRC-32; little-endian

Where users expire, the format is 3, and the latest timestamp of the applied records (last_record_ms int64) stands
before the CRC-32.

The checksum covers the cell, the representation beside the cell in the row, and the owner: the user and the bundle. So
a damaged cell, and a cell of another user or bundle, is recognised before use.
"""

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from isal.isal_zlib import crc32  # the CRC-32 of zlib, four times as fast
from numpy.typing import NDArray

from streams.config.errors import StateFormatError
from streams.engine.arena import RECENT, UNKNOWN_MS
from streams.engine.planning.rows import Rows

FORMAT, FORMAT_WITH_RECORD_TIME = 2, 3
_HEAD = struct.Struct("<BiiqqqH")
_HEAD_FIELDS = ("format", "epoch", "partition", "offset", "steps", "last_time_ms", "item_bytes")
HEAD = np.dtype(list(zip(_HEAD_FIELDS, ("u1", "<i4", "<i4", "<i8", "<i8", "<i8", "<u2"), strict=True)))
_RECENT = struct.Struct(f"<{RECENT}Q")
_RECORD_TIME = struct.Struct("<q")
_CRC = struct.Struct("<I")


class StateCell(msgspec.Struct, frozen=True, kw_only=True):
    """What a state cell holds. recent: up to RECENT hashes, oldest first."""

    epoch: int
    partition: int
    offset: int
    steps: int
    last_time_ms: int
    last_item: str | None
    recent: Sequence[int]
    state: NDArray[np.float32]  # (S,)
    last_record_ms: int = UNKNOWN_MS


class StoredPosition(NamedTuple):
    """The source position of a stored row."""

    epoch: int
    partition: int
    offset: int


def owner_crc(bundle_id: bytes, user_id: bytes) -> int:
    """The value with which the checksum of a user's cell begins."""
    return crc32(user_id, crc32(bundle_id))


def encode_states(
    bundle_id: bytes,
    user_id: Sequence[bytes],
    representation: Sequence[bytes],
    epoch: int,
    rows: Rows,
    last_item: Sequence[bytes | None],
    state: NDArray[np.float32],
    with_record_time: bool = False,
) -> tuple[Sequence[bytes], ...]:
    """The cells of n rows as columns of parts. The parts of a row, one after another, are the cell of the row.

    user_id, last_item: of the rows, in UTF-8. representation: the stored bytes. state: (n, S) float32.
    with_record_time: keep `last_record_ms`. The caller joins the parts once, because a copy of a cell costs as much as
    its checksum.
    """
    head = np.zeros(len(rows), HEAD)
    head["format"], head["epoch"] = FORMAT_WITH_RECORD_TIME if with_record_time else FORMAT, epoch
    for name in ("partition", "offset", "steps", "last_time_ms"):
        head[name] = getattr(rows, name)
    items = [item or b"" for item in last_item]
    head["item_bytes"] = [len(item) for item in items]
    fields: list[Any] = [("recent", "<u8", (RECENT,)), ("state", "<f4", (state.shape[1],))]
    rest = np.empty(len(rows), [*fields, ("last_record_ms", "<i8")] if with_record_time else fields)
    rest["recent"], rest["state"] = rows.recent, state
    if with_record_time:
        rest["last_record_ms"] = rows.last_record_ms
    heads, rests, of_bundle = bytes_of_rows(head), bytes_of_rows(rest), crc32(bundle_id)
    checksums = [
        crc32(vector, crc32(end, crc32(item, crc32(begin, crc32(user, of_bundle)))))
        for user, vector, begin, item, end in zip(user_id, representation, heads, items, rests, strict=True)
    ]
    return heads, items, rests, bytes_of_rows(np.array(checksums, "<u4"))


def cell_bytes(width: int, with_record_time: bool = False) -> int:
    """The bytes of a cell without its last item. width: S."""
    return _HEAD.size + _RECENT.size + 4 * width + _CRC.size + (_RECORD_TIME.size if with_record_time else 0)


def bytes_of_rows(array: NDArray[Any]) -> list[bytes]:
    """The bytes of each row of an array.

    numpy makes the list from a view of the array, which takes a third of the time of slices of all bytes.
    """
    if not array.size:
        return [b""] * len(array)
    array = np.ascontiguousarray(array)
    rows: list[bytes] = array.view(f"V{array.nbytes // len(array)}").ravel().tolist()
    return rows


def decode_state(owner: int, representation: bytes, cell: bytes, width: int) -> StateCell:
    """Decode a cell. width: S. owner: the result of `owner_crc`.

    Raises ValueError, which says what is wrong, for everything but an intact row, and StateFormatError for an intact
    row of another version.
    """
    body = _intact_body(owner, representation, cell)
    number, epoch, partition, offset, steps, last_time_ms, length = _HEAD.unpack_from(body)
    last_record_ms = UNKNOWN_MS
    if number == FORMAT_WITH_RECORD_TIME:
        body, (last_record_ms,) = body[: -_RECORD_TIME.size], _RECORD_TIME.unpack(body[-_RECORD_TIME.size :])
    at = _HEAD.size + length
    state = np.frombuffer(body, "<f4", offset=at + _RECENT.size).astype(np.float32)
    if len(state) != width:
        raise ValueError(f"the state has {len(state)} numbers, the bundle's states have {width}")
    return StateCell(
        epoch=epoch,
        partition=partition,
        offset=offset,
        steps=steps,
        last_time_ms=last_time_ms,
        last_item=body[_HEAD.size : at].decode() or None,
        recent=[digest for digest in _RECENT.unpack_from(body, at) if digest],
        state=state,
        last_record_ms=last_record_ms,
    )


def decode_position(owner: int, representation: bytes, cell: bytes) -> StoredPosition:
    """The source position of a cell of any bundle. Raises as `decode_state`."""
    _, epoch, partition, offset, *_ = _HEAD.unpack_from(_intact_body(owner, representation, cell))
    return StoredPosition(epoch, partition, offset)


def _intact_body(owner: int, representation: bytes, cell: bytes) -> bytes:
    """The cell without its checksum. Raises as `decode_state`."""
    if len(cell) < _HEAD.size + _RECENT.size + _CRC.size:
        raise ValueError(f"the state has only {len(cell)} bytes")
    body = cell[: -_CRC.size]
    if crc32(representation, crc32(body, owner)) != _CRC.unpack_from(cell, len(body))[0]:
        raise ValueError("the checksum of the state is wrong")
    # The row is intact. A rebuild would throw the history of another version away.
    if body[0] not in (FORMAT, FORMAT_WITH_RECORD_TIME):
        known = f"{FORMAT} and {FORMAT_WITH_RECORD_TIME}"
        raise StateFormatError(f"a stored state has format {body[0]}, this version reads {known}: use one version")
    return body
