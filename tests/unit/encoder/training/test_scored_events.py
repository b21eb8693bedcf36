"""A validation of a long log scores the events of some users, all of them or none of them."""

import numpy as np

from encoder.training.train import of_some_users
from tests.support.sequences import sequences_of


def test_few_scored_events_are_all_kept() -> None:
    sequences = sequences_of([1, 2, 3], [2, 1])
    is_scored = np.array([False, True, True, False, True])
    assert of_some_users(sequences, is_scored, 3) is is_scored


def test_of_many_scored_events_whole_users_are_kept_up_to_the_limit() -> None:
    sequences = sequences_of(*[[1, 2, 3]] * 1_000)
    is_scored = np.tile([False, True, True], 1_000)
    kept = of_some_users(sequences, is_scored, 500)
    by_user = kept.reshape(1_000, 3)
    assert not by_user[:, 0].any()
    assert (by_user[:, 1] == by_user[:, 2]).all()
    assert 498 <= kept.sum() <= 500
    chosen = np.flatnonzero(by_user[:, 1])
    assert chosen.min() < 100
    assert chosen.max() > 900
    assert np.array_equal(of_some_users(sequences, is_scored, 500), kept)
