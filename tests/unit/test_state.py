import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.state import decode_state, encode_state

STATE = np.arange(5, dtype=np.float32)
CELL = encode_state(2, 3, 10**12, 7, 10**13, "tee-é", [5, 2**64 - 1], STATE.tobytes())


def test_a_cell_gives_back_what_was_put_in() -> None:
    state = decode_state(CELL, 5)
    assert (state.epoch, state.partition, state.offset, state.steps) == (2, 3, 10**12, 7)
    assert (state.last_time_ms, state.last_item, state.recent) == (10**13, "tee-é", [5, 2**64 - 1])
    np.testing.assert_array_equal(state.state, STATE)


@given(st.integers(0, len(CELL) * 8 - 1))
def test_no_flipped_bit_goes_unnoticed(bit: int) -> None:
    damaged = bytearray(CELL)
    damaged[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(ValueError, match="checksum"):
        decode_state(bytes(damaged), 5)


@pytest.mark.parametrize(("cell", "width", "why"), [(b"", 5, "0 bytes"), (CELL[:-1], 5, "checksum"), (CELL, 6, "6")])
def test_a_cut_cell_and_one_of_another_width_are_refused(cell: bytes, width: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode_state(cell, width)
