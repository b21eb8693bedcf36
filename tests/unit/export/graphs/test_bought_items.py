"""The bought items in the step graph, against lists of Python."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from encoder.errors import BundleError
from export import parity
from export.exporter import export_model
from export.graphs.step import step_graph
from export.purchases import PLACES
from export.runtime.providers import CPU
from export.runtime.queries import bought_of_states
from tests.support.bundles import tiny_model, vocabulary_of

USERS, STEPS, ITEMS = 24, 150, 40
BUY, GIFT = 3, 1  # indices of the purchase actions
EMPTY = [-1] * PLACES


def random_log() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return items, actions and gaps (USERS, STEPS): unknown ones, few items that repeat, and users who buy little."""
    rng = np.random.default_rng(0)
    item = rng.integers(0, ITEMS + 1, (USERS, STEPS))
    item[: USERS // 3] %= 5  # these users come back to four known items
    action = rng.integers(0, 4, (USERS, STEPS))
    action[-USERS // 3 :][rng.random((USERS // 3, STEPS)) < 0.97] = 2
    gap_ms = np.exp(rng.uniform(0, 20, (USERS, STEPS))).astype(np.int64)
    gap_ms[:, 0] = -1
    return item, action, gap_ms


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_state_begins_with_the_last_distinct_items_that_were_bought(is_whole: bool) -> None:
    model = tiny_model(ITEMS, is_whole=is_whole)
    graph, plain = (
        ort.InferenceSession(step_graph(model, purchases), providers=[CPU]) for purchases in ((GIFT, BUY), ())
    )
    item, action, gap_ms = random_log()
    without = model.initial_state(USERS).numpy()
    state = np.pad(without, ((0, 0), (PLACES, 0)))
    bought: list[list[int]] = [[] for _ in range(USERS)]
    for t in range(STEPS):
        events = {"item": item[:, t].copy(), "action": action[:, t].copy(), "gap_ms": gap_ms[:, t].copy()}
        state, representation = graph.run(("next_state", "representation"), {**events, "state": state})
        without, expected = plain.run(("next_state", "representation"), {**events, "state": without})
        for user, one in enumerate(bought):
            if action[user, t] in (GIFT, BUY) and item[user, t] > 0:
                one[:] = [item[user, t], *(other for other in one if other != item[user, t])][:PLACES]
        assert bought_of_states(state, PLACES).tolist() == [[*one, *EMPTY][:PLACES] for one in bought]
        np.testing.assert_array_equal(state[:, PLACES:], without, "the rest of a state does not change")
        np.testing.assert_array_equal(representation, expected)
    assert {len(one) for one in bought} >= {1, 4, PLACES}, "some users fill all places, and others do not"


def test_other_actions_do_not_push_bought_items_out() -> None:
    model = tiny_model(ITEMS)
    graph = ort.InferenceSession(step_graph(model, (BUY,)), providers=[CPU])
    state = np.pad(model.initial_state(1).numpy(), ((0, 0), (PLACES, 0)))
    events = [(7, BUY), *((item, 1) for item in range(1, 31)), (0, BUY), (9, 0), (8, BUY), (7, BUY), (7, 2)]
    for item, action in events:
        inputs = {"item": np.array([item]), "action": np.array([action]), "gap_ms": np.array([1_000])}
        (state,) = graph.run(("next_state",), {**inputs, "state": state})
    assert bought_of_states(state, PLACES).tolist() == [[7, 8, *EMPTY[2:]]]


def test_a_graph_with_wrong_bought_items_is_not_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "STEPS", 50)
    model, names = tiny_model(ITEMS), vocabulary_of([f"item-{i}" for i in range(ITEMS)])
    monkeypatch.setattr("export.exporter.step_graph", lambda model, purchases: step_graph(model, (purchases[0] - 1,)))
    with pytest.raises(BundleError, match="parity of bought items failed"):
        export_model(model, names, tmp_path / "bundle")
