"""Scores of states that do not know the newest events."""

from export.evaluation.freshness import seen_before
from export.evaluation.scored_events import ScoredEvents
from export.runtime.bundle import Bundle
from tests.support.random_log import random_log


def test_a_frozen_state_includes_only_events_that_are_old_enough(bundle: Bundle) -> None:
    scored = ScoredEvents.from_logs(random_log(), bundle.vocabulary)
    lag_ms = 3 * 86_400_000
    for at, seen in zip(scored.target.tolist(), seen_before(scored, lag_ms).tolist(), strict=True):
        begin = int(scored.sequences.starts[scored.event_user[at]])
        assert seen == sum(scored.event_time_ms[begin:at] <= scored.event_time_ms[at] - lag_ms)
