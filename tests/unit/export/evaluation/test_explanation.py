"""The effect of each event of a user on the user's representation."""

import numpy as np
import pytest

from encoder.errors import InputError
from export.evaluation.explanation import explain
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from tests.support.graphs.single_steps import one_by_one
from tests.support.random_log import random_log


def test_an_explanation_compares_with_the_history_without_the_event(bundle: Bundle, stepper: Stepper) -> None:
    log = random_log(90, 3)
    own, found = explain(bundle, stepper, log, "u1")
    events = [
        (bundle.item_index.get(e.item_id, 0), bundle.action_index.get(e.action, 0), e.event_time_ms)
        for e in log.events()
        if e.user_id == "u1"
    ]
    width = bundle.manifest.representation_width
    whole = one_by_one(bundle, stepper, events)[-1][:width]
    assert found.rank == 1
    assert len(own) == len(events) > 10
    for i in range(len(events)):
        query = one_by_one(bundle, stepper, events[:i] + events[i + 1 :])[-1]
        without = query[:width]
        np.testing.assert_allclose(found.moved_l2[i], np.linalg.norm(whole - without), atol=1e-5)
        cosine = 1 - whole @ without / np.linalg.norm(whole) / np.linalg.norm(without)
        np.testing.assert_allclose(found.moved_cosine[i], cosine, atol=1e-5)
        score = bundle.scores(query[None])[0, found.item - 1]
        np.testing.assert_allclose(found.score_without[i], score, atol=1e-5)
        assert found.rank_without[i] == stepper.rank(query[None], np.array([found.item]))[0]
    with pytest.raises(InputError, match="user 'nobody' has no event"):
        explain(bundle, stepper, log, "nobody")
    with pytest.raises(InputError, match="item 'no-item' is not in the catalogue"):
        explain(bundle, stepper, log, "u1", "no-item")
