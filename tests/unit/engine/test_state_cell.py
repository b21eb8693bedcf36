"""The encoding of states in Cassandra, which detects damage and rows of other users, bundles and versions."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.config.errors import StateFormatError
from streams.engine.planning.rows import Rows
from streams.engine.state_cell import cell_bytes, decode_position, decode_state, encode_states, owner_crc

STATE = np.arange(5, dtype=np.float32)
VECTOR = np.arange(3, dtype=">f4").tobytes()
OWNER = owner_crc(b"bundle", b"user")


def cell() -> bytes:
    rows = Rows(["user"])
    rows.partition[:], rows.offset[:], rows.steps[:], rows.last_time_ms[:] = 3, 10**12, 7, 10**13
    rows.recent[0, -2:] = [5, 2**64 - 1]
    parts = encode_states(b"bundle", [b"user"], [VECTOR], 2, rows, ["tee-é".encode()], STATE[None])
    return b"".join(part for [part] in parts)


CELL = cell()


def test_a_cell_has_the_stated_size() -> None:
    assert len(CELL) == cell_bytes(len(STATE)) + len("tee-é".encode())


def test_a_decoded_state_equals_the_encoded_one() -> None:
    state = decode_state(OWNER, VECTOR, CELL, 5)
    assert (state.epoch, state.partition, state.offset, state.steps) == (2, 3, 10**12, 7)
    assert (state.last_time_ms, state.last_item, state.recent) == (10**13, "tee-é", [5, 2**64 - 1])
    np.testing.assert_array_equal(state.state, STATE)


def test_the_position_is_read_without_the_width_of_the_bundle_and_only_from_an_intact_cell() -> None:
    assert decode_position(OWNER, VECTOR, CELL) == (2, 3, 10**12)
    with pytest.raises(ValueError, match="checksum"):
        decode_position(owner_crc(b"another", b"user"), VECTOR, CELL)


@given(st.integers(0, len(CELL) * 8 - 1))
def test_each_flipped_bit_of_the_cell_is_noticed(bit: int) -> None:
    damaged = bytearray(CELL)
    damaged[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(ValueError, match="checksum"):
        decode_state(OWNER, VECTOR, bytes(damaged), 5)


@given(st.integers(0, len(VECTOR) * 8 - 1))
def test_each_flipped_bit_of_the_representation_is_noticed(bit: int) -> None:
    damaged = bytearray(VECTOR)
    damaged[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(ValueError, match="checksum"):
        decode_state(OWNER, bytes(damaged), CELL, 5)


@pytest.mark.parametrize(("bundle", "user"), [(b"bundle", b"another"), (b"another", b"user")])
def test_a_state_of_another_user_or_bundle_is_refused(bundle: bytes, user: bytes) -> None:
    with pytest.raises(ValueError, match="checksum"):
        decode_state(owner_crc(bundle, user), VECTOR, CELL, 5)


@pytest.mark.parametrize(
    ("cell", "width", "why"),
    [(b"", 5, "0 bytes"), (CELL[:-1], 5, "checksum"), (CELL, 6, "6")],
)
def test_a_truncated_cell_and_a_cell_of_another_width_are_refused(cell: bytes, width: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode_state(OWNER, VECTOR, cell, width)


def test_an_intact_cell_of_another_version_is_not_reported_as_damage() -> None:
    body = b"\x09" + CELL[1:-4]
    cell = body + struct.pack("<I", zlib.crc32(VECTOR, zlib.crc32(body, OWNER)))
    with pytest.raises(StateFormatError, match="format 9"):
        decode_state(OWNER, VECTOR, cell, 5)
