"""Disturbed histories, compared with steps of one event at a time."""

import numpy as np
import pytest

from export.evaluation import perturbation, queries
from export.evaluation.perturbation import Perturbed, perturb
from export.evaluation.scored_events import ScoredEvents
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from tests.support.graphs.single_steps import one_by_one
from tests.support.random_log import ITEMS, random_log


@pytest.mark.parametrize("kind", list(perturbation.PERTURBATIONS))
def test_states_are_those_of_the_disturbed_history(bundle: Bundle, stepper: Stepper, kind: str) -> None:
    scored = ScoredEvents.from_logs(random_log(120, 6), bundle.vocabulary)
    chosen = np.random.default_rng(perturbation.SEED).random(len(scored.event_user)) < 0.4
    perturbed = perturb(scored, kind, 0.4, ITEMS)
    got = queries.ranks(bundle, stepper, perturbed.sequences, scored.user, perturbed.seen, scored.item)
    sequences, expected = scored.sequences, []
    items = perturbed.sequences.item if kind == "replaced" else sequences.item
    for at in scored.target.tolist():
        past: list[tuple[int, int, int]] = []
        begin = int(sequences.starts[scored.event_user[at]])
        late: tuple[int, int, int] | None = None
        for p in range(begin, at):
            event = (int(items[p]), int(sequences.action[p]), int(scored.event_time_ms[p]))
            if kind == "shuffled" and chosen[p]:
                if late:  # of two late events in a row, the earlier one arrives first
                    past.append(late)
                late = event
                continue
            past += [event] * ({"dropped": 0, "duplicated": 2}.get(kind, 1) if chosen[p] else 1)
            if late:
                past.append(late)
                late = None
        representation = one_by_one(bundle, stepper, past)[-1]
        expected.append(int(stepper.rank(representation[None], scored.item[scored.target == at])[0]))
    assert got.tolist() == expected
    changed = int((items != sequences.item).sum()) if kind == "replaced" else int(chosen.sum())
    assert changed > 20


def test_a_share_of_zero_changes_nothing(bundle: Bundle) -> None:
    scored = ScoredEvents.from_logs(random_log(), bundle.vocabulary)
    for kind in perturbation.PERTURBATIONS:
        perturbed: Perturbed = perturb(scored, kind, 0.0, ITEMS)
        assert np.array_equal(perturbed.seen, scored.steps)
        for name in ("starts", "item", "action", "gap_ms"):
            assert np.array_equal(getattr(perturbed.sequences, name), getattr(scored.sequences, name)), (kind, name)
