"""Session-parallel batches and padded batches: every event occurs once, and after the user's previous event."""

import numpy as np
import pytest

from encoder.data.batches.lanes import lanes
from encoder.data.batches.windows import Window, length_batches, windows
from encoder.data.sequences import Sequences
from tests.support.sequences import random_sequences

LANES, STEPS = 5, 16


def in_lanes(sequences: Sequences) -> list[Window]:
    users = np.random.default_rng(0).permutation(len(sequences))
    return list(lanes(sequences, users, LANES, STEPS))


def padded(sequences: Sequences) -> list[Window]:
    return [w for users in length_batches(sequences.lengths, 80, STEPS) for w in windows(sequences, users, STEPS)]


@pytest.mark.parametrize("batching", [in_lanes, padded])
def test_each_event_occurs_once_and_after_the_users_event_before(batching: object) -> None:
    sequences = random_sequences()
    seen = []
    last_of_row: list[int] = []
    for window in batching(sequences):
        real = window.position >= 0
        assert (window.item[real] == sequences.item[window.position[real]]).all()
        seen.extend(window.position[real].tolist())
        for row, before in enumerate(window.previous_row.tolist()):
            first = window.position[row, 0]
            if before < 0:
                assert first in sequences.starts[:-1]
            else:
                assert first == last_of_row[before] + 1
        last_of_row = window.position[:, -1].tolist()  # -1 where a row is padded; no user may continue from there
    assert sorted(seen) == list(range(len(sequences.item)))


def test_users_share_a_lane_of_limited_length() -> None:
    sequences = random_sequences(200)
    found = in_lanes(sequences)
    sizes = [int((window.position >= 0).sum()) for window in found]
    assert max(sizes) <= LANES * STEPS
    assert np.mean(sizes[:-5]) > 0.6 * LANES * STEPS
    assert max(len(window.previous_row) for window in found) > LANES


def test_without_users_there_are_no_lanes() -> None:
    assert list(lanes(random_sequences(), np.zeros(0, np.int64), LANES, STEPS)) == []
