"""The write timestamps of rows order the positions of rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.store.cql_schema import HIGHEST_GENERATION, write_timestamp

# Far fewer records than 2^OFFSET_BITS, of a log (below 0) and of a topic.
positions = st.tuples(
    st.integers(0, 1_000), st.one_of(st.integers(-(2**42), 2**42), st.integers(-2, 2)), st.integers(0, 255)
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
