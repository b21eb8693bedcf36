"""Vocabularies, sequences of users, and batches and windows of sequences."""

import numpy as np
import pytest

from encoder.data.batches.windows import length_batches, windows
from encoder.data.sequences import Sequences
from encoder.data.vocabulary import Vocabulary
from encoder.errors import InputError
from tests.support.logs import event_log
from tests.support.sequences import random_sequences, sequences_of, sequences_with_repeats

LOG = event_log(
    [
        ("ann", "tea", "view", 1_000),
        ("bob", "cup", "view", 1_500),
        ("ann", "tea", "cart", 4_000),
        ("ann", "cup", "view", 4_000),
        ("bob", "tea", "view", 9_000),
        ("ann", "pot", "view", 9_500),
    ]
)


def test_a_vocabulary_has_items_with_enough_events_by_frequency_and_name() -> None:
    vocabulary = Vocabulary.from_log(LOG, 2)
    assert vocabulary.items == ["tea", "cup"]
    assert vocabulary.actions == ["view", "cart"]
    assert vocabulary.item_index(LOG).tolist() == [1, 2, 1, 2, 1, 0]
    assert vocabulary.action_index(LOG).tolist() == [1, 1, 2, 1, 1, 1]
    assert Vocabulary.from_log(LOG, 1).items == ["tea", "cup", "pot"]


def test_a_log_in_which_no_item_has_enough_events_is_refused() -> None:
    with pytest.raises(InputError, match="no item of the log has 9 events"):
        Vocabulary.from_log(LOG, 9)


def test_names_outside_the_vocabulary_are_unknown() -> None:
    vocabulary = Vocabulary.from_log(LOG, 1)
    other = event_log([("cy", "lamp", "wish", 5)])
    assert vocabulary.item_index(other).tolist() == vocabulary.action_index(other).tolist() == [0]


def test_sequences_hold_each_users_events_in_order_of_time() -> None:
    sequences = Sequences.from_log(LOG, Vocabulary.from_log(LOG, 1))
    assert sequences.starts.tolist() == [0, 4, 6]
    assert sequences.row.tolist() == [0, 2, 3, 5, 1, 4]
    assert sequences.item.tolist() == [1, 1, 2, 3, 2, 1]
    assert sequences.gap_ms.tolist() == [-1, 3_000, 0, 5_500, -1, 7_500]
    assert sequences.censored_gap_ms(np.arange(-1, 6)).tolist() == [-1, -1, -1, -1, 0, -1, 500]
    assert sequences.previous_item().tolist() == [-1, 1, 1, 2, -1, 2]
    assert sequences.history_lengths().tolist() == [0, 1, 2, 3, 0, 1]


def test_new_items_and_earlier_items_are_those_of_the_same_user() -> None:
    sequences = sequences_of([2, 2, 0, 3, 2], [3, 0, 0, 1])
    assert sequences.is_new_item.tolist() == [True, False, False, True, False, True, False, False, True]
    event, item = sequences.earlier_items(np.array([0, 1, 3, 4, 5, 8]))
    assert list(zip(event.tolist(), item.tolist(), strict=True)) == [(2, 2), (3, 3), (5, 3)]
    many = sequences_with_repeats()
    position = np.arange(len(many.item))
    event, item = many.earlier_items(position)
    starts = np.repeat(many.starts[:-1], many.lengths)
    for at in position.tolist():
        earlier = set(many.item[starts[at] : at].tolist())
        assert set(item[event == at].tolist()) == earlier - {0, int(many.item[at])}
    assert len(event) == len(set(zip(event.tolist(), item.tolist(), strict=True)))


def test_users_without_events_have_no_sequence() -> None:
    part = LOG[1:2]
    sequences = Sequences.from_log(part, Vocabulary.from_log(LOG, 1))
    assert len(sequences) == 1
    assert sequences.starts.tolist() == [0, 1]


def test_batches_hold_each_user_once_and_at_most_the_given_number_of_places() -> None:
    lengths = random_sequences().lengths
    groups = length_batches(lengths, max_places=100, max_steps=16)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    assert all(len(group) * min(16, lengths[group].max()) <= 100 for group in groups)
    assert len(groups) < len(lengths) / 3


def test_windows_hold_each_event_once_and_continue_with_the_same_users() -> None:
    sequences = random_sequences()
    seen = []
    for group in length_batches(sequences.lengths, max_places=100, max_steps=16):
        before: list[int] = []
        for window in windows(sequences, group, 16):
            real = window.position >= 0
            assert (window.item[real] == sequences.item[window.position[real]]).all()
            assert not window.item[~real].any()
            assert real[:, 0].all()  # a user whose events have ended has no row
            firsts = window.position[:, 0].tolist()
            assert window.starts_all_users == (not before)
            if before:
                assert firsts == [last + 1 for last in before[: len(firsts)]]
            before = window.position[:, -1].tolist()
            seen.extend(window.position[real].tolist())
    assert sorted(seen) == list(range(len(sequences.item)))
