"""The write timestamps of rows order the positions of rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.store.cql_schema import HIGHEST_GENERATION, repair_timestamps, write_timestamp

# Far fewer records than 2^OFFSET_BITS, of a log (below 0) and of a topic.
positions = st.tuples(
    st.integers(0, 1_000),
    st.one_of(st.integers(-(2**42), 2**42), st.integers(-2, 2)),
    st.integers(0, HIGHEST_GENERATION),
)


@given(positions, positions)
def test_a_later_position_wins(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    """Also an event of a log over the last record of the epoch before, and a record over the events of the log."""
    stamps = [write_timestamp(*position) for position in (one, other)]
    assert (stamps[0] < stamps[1]) == (one < other)
    as_column = write_timestamp(one[0], np.array([one[1]]), one[2])
    assert as_column.tolist() == stamps[:1]


def test_a_timestamp_lies_beyond_any_clock() -> None:
    """2^52 microseconds is the year 2112. A log of 1,000,000,000 events takes three days off."""
    assert write_timestamp(0, -1_000_000_000, HIGHEST_GENERATION) > 2**52 - 3 * 24 * 3600 * 10**6


@given(positions, st.integers(0, 2_000), st.integers(0, 127))
def test_a_repair_wins_at_its_position_and_loses_against_the_next_one(
    position: tuple[int, int, int], worker: int, earlier: int
) -> None:
    """Also over earlier repairs, whose timestamps no worker has."""
    epoch, offset, _ = position
    written = np.array([write_timestamp(epoch, offset, worker)])
    for _ in range(earlier + 1):
        repaired, is_left = repair_timestamps(epoch, np.array([offset]), written)
        assert is_left.all()
        assert written[0] < repaired[0] < write_timestamp(epoch, offset + 1, 0)
        written = repaired


def test_a_position_has_room_for_128_repairs() -> None:
    last = np.array([write_timestamp(0, 6, 0) - 1])
    assert not repair_timestamps(0, np.array([5]), last)[1].any()


def test_a_row_of_another_position_does_not_move_a_repair() -> None:
    """A repair beyond its position would win over the next event of the user."""
    offsets = np.array([5, 5, 5])
    others = np.array([0, write_timestamp(0, 4, 9), write_timestamp(0, 7, 9)])
    repaired, is_left = repair_timestamps(0, offsets, others)
    assert is_left.tolist() == [True, True, False], "a repair below the stored row would change nothing"
    assert (repaired == write_timestamp(0, 5, 0) + HIGHEST_GENERATION + 1).all()
