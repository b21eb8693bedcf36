"""Windows, deduplication and scored events of the scoreboard, against plain lists and `encoder.metrics`."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.metrics.ranking import mrr, ndcg, recall
from streams.monitor.scoring.scoreboard import Scoreboard
from tests.support.monitoring.evaluations import evaluation

ranks = st.lists(st.none() | st.integers(1, 60), min_size=1, max_size=200)


@given(ranks)
def test_metrics_equal_those_of_the_plain_list_of_ranks(model: list[int | None]) -> None:
    board = Scoreboard("gru-1", window_ms=1000, rolling_events=10_000)
    for offset, rank in enumerate(model):
        board.observe(evaluation(offset, rank=rank), time_ms=offset)
    plain = np.array([rank or 0 for rank in model])
    for scores in (board.rolling(), board.cumulative()):
        assert scores.events == len(model)
        assert scores.unknown_items == model.count(None)
        for metric in (recall, mrr, ndcg):
            for k in (10, 20):
                assert scores.metrics["model"][f"{metric.__name__}@{k}"] == pytest.approx(metric(plain, k), rel=1e-12)


def test_first_events_are_observed_and_not_scored_and_duplicates_are_neither() -> None:
    board = Scoreboard("gru-1", window_ms=1000, rolling_events=100)
    for _ in range(3):
        board.observe(evaluation(0, item="x", steps=0, rank=50), time_ms=0)
    board.observe(evaluation(1, item="x", rank=None), time_ms=1)
    scores = board.cumulative()
    assert (scores.events, scores.without_history, scores.unknown_items, board.duplicates) == (1, 1, 1, 2)
    assert scores.metrics["model"]["recall@20"] == 0.0
    assert scores.metrics["popularity"]["mrr@20"] == 1.0, "the popularity baseline had seen x once"
    assert scores.metrics["last_item"]["mrr@20"] == 1.0, "without a last item, the popularity ranking counts"


def test_metrics_without_events_are_not_a_number() -> None:
    assert math.isnan(Scoreboard("gru-1", 1000, 100).cumulative().metrics["model"]["recall@20"])


def test_the_rolling_window_forgets_and_the_cumulative_window_does_not() -> None:
    board = Scoreboard("gru-1", window_ms=10**9, rolling_events=100)
    for offset in range(1000):
        board.observe(evaluation(offset, rank=1 if offset >= 800 else 99), time_ms=0)
    assert 95 <= board.rolling().events <= 105
    assert board.rolling().metrics["model"]["recall@20"] == 1.0
    assert board.cumulative().metrics["model"]["recall@20"] == pytest.approx(0.2)


def test_an_event_of_a_sample_counts_for_the_events_that_it_represents() -> None:
    board = Scoreboard("gru-1", window_ms=1000, rolling_events=100)
    for offset in range(40):  # the first 10 events are hits; the other 30 represent 300 misses
        share = None if offset < 10 else 0.1
        board.observe(evaluation(offset, rank=1 if share is None else 99, share=share), time_ms=0)
    board.observe(evaluation(40, steps=0, share=0.1), time_ms=0)
    scores = board.cumulative()
    assert (scores.events, scores.without_history) == (40, 1)
    assert scores.share == pytest.approx(41 / 320)
    assert scores.metrics["model"]["recall@20"] == pytest.approx(10 / 310)
    ended = board.advance(2_000)
    assert ended is not None
    assert (ended.events, ended.share) == (40, scores.share)


def test_without_a_sample_the_share_is_one() -> None:
    board = Scoreboard("gru-1", window_ms=1000, rolling_events=100)
    for offset in range(1000):
        board.observe(evaluation(offset, steps=offset % 3), time_ms=0)
    assert board.cumulative().share == 1
