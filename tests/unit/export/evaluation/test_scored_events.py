"""Ranks of scored events, compared with steps of one event at a time."""

import numpy as np
import pytest

from encoder.errors import InputError
from export.evaluation import queries
from export.evaluation.heads import recent_events
from export.evaluation.scored_events import ScoredEvents, gaps_ms
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from tests.support.random_log import random_log
from tests.support.single_steps import live_ranks, ranks_one_by_one


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
    with pytest.raises(InputError, match="history reaches to"):
        ScoredEvents.from_logs(history, bundle.vocabulary, log)


def test_gaps_of_late_events_are_those_of_a_worker() -> None:
    user = np.array([0, 0, 0, 0, 3, 3])
    time_ms = np.array([50, 90, 70, 95, 10, 10])
    assert gaps_ms(user, time_ms).tolist() == [-1, 40, 0, 5, -1, 0]
