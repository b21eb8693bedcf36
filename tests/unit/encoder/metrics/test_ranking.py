"""Ranking metrics and the baselines that models are compared with."""

import math

import numpy as np
import pytest

from encoder.data.sequences import Sequences
from encoder.data.vocabulary import Vocabulary
from encoder.metrics.baselines import Baselines
from encoder.metrics.ranking import MISS, mrr, ndcg, ranking_metrics, ranks_of, recall
from tests.support.logs import event_log

RANKS = np.array([1, 3, 21, MISS])


def test_ranking_metrics_are_those_computed_by_hand() -> None:
    assert recall(RANKS, 20) == 2 / 4
    assert mrr(RANKS, 20) == pytest.approx((1 + 1 / 3) / 4)
    assert ndcg(RANKS, 20) == pytest.approx((1 + 1 / math.log2(4)) / 4)
    assert recall(RANKS, 21) == 3 / 4
    assert ranking_metrics(RANKS)["n"] == 4


def test_metrics_of_no_events_are_not_a_number() -> None:
    assert math.isnan(recall(np.array([], np.int64), 20))


def test_ties_count_against_the_model() -> None:
    scores = np.array([[0.5, 0.5, 0.1], [0.5, 0.5, 0.1], [0.5, 0.5, 0.1], [1.0, 2.0, 3.0]])
    assert ranks_of(scores, np.array([1, 3, 0, 3])).tolist() == [2, 3, MISS, 1]


@pytest.fixture
def baselines() -> tuple[Baselines, Vocabulary]:
    # Item a has 4 events, b has 3 and c has 2. After a, b came twice and c once.
    steps = [("u1", "abac"), ("u2", "ab"), ("u3", "a"), ("u4", "b"), ("u5", "c")]
    rows = [(user, item, "view", 0) for user, items in steps for item in items]
    log = event_log([(user, item, action, time_ms) for time_ms, (user, item, action, _) in enumerate(rows)])
    vocabulary = Vocabulary.from_log(log, 1)
    return Baselines.from_sequences(Sequences.from_log(log, vocabulary), len(vocabulary.items)), vocabulary


def test_popularity_ranks_items_by_their_counts(baselines: tuple[Baselines, Vocabulary]) -> None:
    counts, vocabulary = baselines
    assert vocabulary.items == ["a", "b", "c"]
    assert counts.popularity_ranks(np.array([1, 2, 3, 0])).tolist() == [1, 2, 3, MISS]


def test_ranks_after_the_last_item_are_those_of_explicit_scores(baselines: tuple[Baselines, Vocabulary]) -> None:
    counts, _ = baselines
    after = {1: {2: 2, 3: 1}, 2: {1: 1}}  # previous -> next -> count
    for previous in (-1, 0, 1, 2, 3):
        score = np.array([[after.get(previous, {}).get(i, 0) * 100 + counts.popularity[i] for i in (1, 2, 3)]])
        for item in (0, 1, 2, 3):
            ranks = counts.last_item_ranks(np.array([previous]), np.array([item]))
            assert ranks.tolist() == ranks_of(score, np.array([item])).tolist(), (previous, item)
