"""The last distinct items of all users at once are those of one user after another."""

import numpy as np

from encoder.data.recent_items import PLACES, RecentPositions
from encoder.data.sequences import Sequences
from tests.support.sequences import recent_before_each_event, sequences_with_repeats


def sequences_of_user(*events: tuple[int, int]) -> Sequences:
    """Return the sequence of one user, whose events have these items and these gaps in ms. The actions count up."""
    item, gap_ms = np.array(events, np.int64).T
    n = len(item)
    return Sequences(np.array([0, n]), item, np.arange(n) + 1, gap_ms, np.arange(n), {})


def test_recent_items_are_those_of_a_list_that_is_kept_for_each_user() -> None:
    sequences = sequences_with_repeats()
    before = sequences.recent_positions.before(np.arange(len(sequences.item)))
    expected = recent_before_each_event(sequences)
    assert max(len(recent) for _, recent in expected) == PLACES
    for at, (time_ms, recent) in enumerate(expected):
        empty = [0] * (PLACES - len(recent))
        assert before.item[at].tolist() == [one.item for one in recent] + empty
        assert before.action[at].tolist() == [one.action for one in recent] + empty
        assert before.count[at].tolist() == [one.count for one in recent] + empty
        ages_s = [(time_ms - one.time_ms) / 1000 for one in recent] + empty
        np.testing.assert_allclose(before.age_s[at], ages_s, rtol=1e-6)


def test_an_item_again_comes_first_and_an_unknown_item_takes_no_place() -> None:
    sequences = sequences_of_user((5, -1), (6, 1_000), (0, 2_000), (5, 4_000), (7, 8_000))
    before = sequences.recent_positions.before(np.arange(5))
    assert not before.item[0].any()
    assert before.item[:, :3].tolist() == [[0, 0, 0], [5, 0, 0], [6, 5, 0], [6, 5, 0], [5, 6, 0]]
    assert before.action[:, :2].tolist() == [[0, 0], [1, 0], [2, 1], [2, 1], [4, 2]]
    assert before.age_s[:, :2].tolist() == [[0, 0], [0, 0], [0, 1], [2, 3], [0, 6]]
    assert before.count[:, :2].tolist() == [[0, 0], [1, 0], [1, 1], [1, 1], [2, 1]]


def test_a_count_starts_again_after_the_item_lost_its_place() -> None:
    others = [(item, 1) for item in range(2, 2 + PLACES)]
    sequences = sequences_of_user((1, -1), (1, 1), *others[:-1], (1, 1), *others, (1, 1), (1, 1), (1, 1))
    before = sequences.recent_positions.before(np.arange(len(sequences.item)))
    counts = [dict(zip(*row, strict=True)).get(1, 0) for row in zip(before.item.tolist(), before.count, strict=True)]
    assert counts == [0, 1, *[2] * PLACES, *[3] * PLACES, 0, 1, 2]


def test_padding_has_no_recent_items_and_positions_keep_their_shape() -> None:
    positions = sequences_of_user((1, -1), (2, 1), (3, 1)).recent_positions
    before = positions.before(np.array([[2, -1], [0, 1]]))
    assert before.item.shape == before.age_s.shape == (2, 2, PLACES)
    assert before.item[:, :, :2].tolist() == [[[2, 1], [0, 0]], [[0, 0], [1, 0]]]
    for field in (before.action, before.age_s, before.count):
        assert not field[0, 1].any()
        assert not field[1, 0].any()


def test_an_empty_log_has_no_recent_items() -> None:
    nothing = np.zeros(0, np.int64)
    empty = RecentPositions.of(np.zeros(1, np.int64), nothing, nothing, nothing, nothing)
    assert empty.before(nothing).item.shape == (0, PLACES)


def test_a_user_with_more_events_than_two_bytes_count_keeps_the_oldest_item() -> None:
    events = 70_000
    item = np.ones(events, np.int64)
    item[0] = 2
    sequences = Sequences(np.array([0, events]), item, item, np.append(-1, np.ones(events - 1, np.int64)), item, {})
    before = sequences.recent_positions.before(np.array([events - 1]))
    assert before.item[0, :3].tolist() == [1, 2, 0]
    assert before.age_s[0, :2].tolist() == [0, np.float32((events - 2) / 1000)]
