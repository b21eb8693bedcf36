"""Ranks of scored events, compared with steps of one event at a time."""

import numpy as np
import pytest

from encoder.errors import InputError
from export.evaluation import queries
from export.evaluation.heads import recent_events
from export.evaluation.scored_events import ScoredEvents, gaps_ms
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from tests.support.graphs.single_steps import live_ranks, ranks_one_by_one
from tests.support.random_log import random_log


def test_recent_events_are_counted_up_to_each_scored_event(bundle: Bundle) -> None:
    history, log = random_log().split(0.3)
    scored = ScoredEvents.from_logs(log, bundle.vocabulary, history)
    within_ms = 3 * 86_400_000
    for at, found in zip(scored.target.tolist(), recent_events(scored, within_ms).tolist(), strict=True):
        own = scored.event_time_ms[int(scored.sequences.starts[scored.event_user[at]]) : at + 1]
        assert found == int((own >= own[-1] - within_ms).sum())


@pytest.mark.parametrize("events_at_once", [1, 50, 10**6])
def test_ranks_equal_those_of_single_steps(
    bundle: Bundle, stepper: Stepper, events_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "TABLE_EVENTS", events_at_once)
    log = random_log()
    scored = ScoredEvents.from_logs(log, bundle.vocabulary)
    found = np.zeros(len(log), np.int64)
    found[scored.row] = live_ranks(bundle, stepper, scored)
    assert found.tolist() == ranks_one_by_one(bundle, stepper, log)
    assert (found == 0).any()


def test_history_is_stepped_and_not_scored(bundle: Bundle, stepper: Stepper) -> None:
    whole = random_log()
    history, log = whole.split(0.6)
    scored = ScoredEvents.from_logs(log, bundle.vocabulary, history)
    found = np.zeros(len(log), np.int64)
    found[scored.row] = live_ranks(bundle, stepper, scored)
    assert found.tolist() == ranks_one_by_one(bundle, stepper, whole)[len(history) :]
    with pytest.raises(InputError, match="the history of user"):
        ScoredEvents.from_logs(history, bundle.vocabulary, log)


def test_the_last_event_of_each_user_follows_the_other_events_of_the_user(bundle: Bundle, stepper: Stepper) -> None:
    whole = random_log()
    is_last = whole.later_events() == 0
    scored = ScoredEvents.from_logs(whole[is_last], bundle.vocabulary, whole[~is_last])
    found = live_ranks(bundle, stepper, scored)
    expected = np.array(ranks_one_by_one(bundle, stepper, whole))[is_last]
    assert found.tolist() == expected[scored.row].tolist()
    assert len(found) == 25
    assert (whole[~is_last].time_ms[-1] > whole[is_last].time_ms[0]).all(), "users overlap in time"


def test_masked_ranks_leave_out_the_other_items_that_the_user_had(
    bundle: Bundle, stepper: Stepper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "TABLE_EVENTS", 50)
    history, log = random_log().split(0.3)
    scored = ScoredEvents.from_logs(log, bundle.vocabulary, history)
    rank = live_ranks(bundle, stepper, scored)
    found = queries.masked_ranks(bundle, stepper, scored, rank)
    for pairs, query in queries.queries(bundle, stepper, scored.sequences, scored.user, scored.steps):
        for at, scores in enumerate(bundle.scores(query), pairs.start):
            own = scored.sequences.item[int(scored.sequences.starts[scored.user[at]]) : scored.target[at]]
            item = int(scored.item[at])
            others = sorted(set(own.tolist()) - {0, item})
            kept = np.delete(scores, np.array(others, int) - 1)
            assert found[at] == (int((kept >= scores[item - 1]).sum()) if item else 0)
    assert (found < rank).any()
    assert (found <= rank).all()


def test_gaps_of_late_events_are_those_of_a_worker() -> None:
    user = np.array([0, 0, 0, 0, 3, 3])
    time_ms = np.array([50, 90, 70, 95, 10, 10])
    assert gaps_ms(user, time_ms).tolist() == [-1, 40, 0, 5, -1, 0]
