"""The recent items in the graphs: the step graph keeps them, and the predict graph ranks with them."""

import numpy as np
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray

from encoder.data.recent_items import FIELDS, PLACES
from export.graphs.predict import predict_graph
from export.graphs.step import step_graph
from export.runtime.providers import CPU
from export.runtime.queries import recent_of_states
from tests.support.bundles import tiny_model

USERS, STEPS, ITEMS = 16, 120, 30


@torch.no_grad()
def test_states_and_outputs_are_those_of_the_models_steps() -> None:
    rng, model = np.random.default_rng(0), tiny_model(ITEMS)
    item = rng.integers(0, ITEMS + 1, (USERS, STEPS))
    item[: USERS // 2] %= 8  # half of the users come back to few items
    gap_ms = np.exp(rng.uniform(0, 20, (USERS, STEPS))).astype(np.int64)
    gap_ms[:, 0] = -1
    action = rng.integers(0, 4, (USERS, STEPS))
    session = ort.InferenceSession(step_graph(model), providers=[CPU])
    expected, state = model.initial_state(USERS), model.initial_state(USERS).numpy()
    outputs = ("next_state", "recent_items", "recent_scores")
    for t in range(STEPS):
        events = item[:, t].copy(), action[:, t].copy(), gap_ms[:, t].copy()
        expected, _ = model.step(*(torch.from_numpy(part) for part in events), expected)
        inputs = dict(zip(("item", "action", "gap_ms"), events, strict=True))
        state, items, scores = session.run(outputs, {**inputs, "state": state})
        np.testing.assert_allclose(state, expected, rtol=1e-5, atol=1e-5)
        fields = expected[:, model.recurrent_width :].view(USERS, len(FIELDS), PLACES).numpy()
        np.testing.assert_array_equal(items, np.where(fields[:, 0] > 0, fields[:, 0], -1))
        np.testing.assert_allclose(scores, fields[:, -1], rtol=1e-5, atol=1e-5)
        assert (scores[items == -1] == 0).all()
        for one, other in zip(recent_of_states(state, PLACES), (items, scores), strict=True):
            np.testing.assert_array_equal(one, other)
    assert (items[USERS // 2 :] > 0).all(), "the places of users with many items are filled"


def test_an_event_alone_has_the_scores_that_it_has_in_a_batch() -> None:
    """The logarithms of ages in float32 would differ: ONNX Runtime rounds them by their place in the batch."""
    rng, model, users = np.random.default_rng(0), tiny_model(ITEMS), 200
    session = ort.InferenceSession(step_graph(model), providers=[CPU])
    state = np.tile(model.initial_state(1).numpy(), (users, 1))
    for t in range(20):  # all places are filled
        gap_ms = np.full(users, -1) if t == 0 else np.exp(rng.uniform(0, 20, users)).astype(np.int64)
        inputs = {"item": rng.integers(1, ITEMS + 1, users), "action": rng.integers(0, 4, users), "gap_ms": gap_ms}
        inputs["state"] = state
        rows = [{name: part[i : i + 1] for name, part in inputs.items()} for i in range(users)]
        alone = [session.run(("recent_scores",), row) for row in rows]
        state, scores = session.run(("next_state", "recent_scores"), inputs)
        np.testing.assert_array_equal(np.concatenate([one for (one,) in alone]), scores)


def counted_ranks(
    vectors: NDArray[np.float32], query: NDArray[np.float32], item: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Count the items that score at least as high as the item, one user after another."""
    found = []
    for user, target in zip(query.tolist(), item.tolist(), strict=True):
        scores = (vectors @ np.array(user[: vectors.shape[1]], np.float32)).tolist()
        for recent, added in zip(user[-2 * PLACES : -PLACES], user[-PLACES:], strict=True):
            if recent:
                scores[int(recent) - 1] += added
        found.append(sum(score >= scores[target - 1] for score in scores) if target else 0)
    return np.array(found)


@pytest.mark.parametrize("is_for_gpu", [False, True])
@pytest.mark.parametrize("unscored_width", [0, 3])
def test_ranks_count_recent_items_with_their_own_scores(unscored_width: int, is_for_gpu: bool) -> None:
    """All numbers are small and whole, so that sums are exact and that many items tie."""
    rng, width, users = np.random.default_rng(1), 4, 600
    vectors = rng.integers(-2, 3, (ITEMS, width)).astype(np.float32)
    representation = rng.integers(-2, 3, (users, width + unscored_width))
    recent = rng.permuted(np.tile(np.arange(1, ITEMS + 1), (users, 1)), axis=1)[:, :PLACES]
    is_filled = np.arange(PLACES) < rng.integers(0, PLACES + 1, users)[:, None]
    added = rng.integers(-5, 6, (users, PLACES)) * is_filled
    query = np.concatenate([representation, recent * is_filled, added], axis=1).astype(np.float32)
    item = rng.integers(0, ITEMS + 1, users)
    item[::2] = (recent * is_filled)[::2, 0]  # half of the items are recent, and 0 where no item is
    graph = predict_graph(vectors, unscored_width=unscored_width, places=PLACES, is_for_gpu=is_for_gpu)
    session = ort.InferenceSession(graph, providers=[CPU])
    (rank,) = session.run(("rank",), {"query": query, "item": item})
    assert rank.dtype == np.int32
    np.testing.assert_array_equal(rank, counted_ranks(vectors, query, item))
    assert (rank[item == 0] == 0).all()
    without = query.copy()
    without[:, -PLACES:] = 0
    (other,) = session.run(("rank",), {"query": without, "item": item})
    assert (rank != other).mean() > 0.5, "the scores of recent items matter here"


def test_a_query_that_is_not_a_number_gets_the_worst_rank() -> None:
    vectors = np.ones((5, 3), np.float32)
    session = ort.InferenceSession(predict_graph(vectors, places=PLACES), providers=[CPU])
    query = np.zeros((2, 3 + 2 * PLACES), np.float32)
    query[0, 0] = np.nan
    query[1, 3], query[1, 3 + PLACES] = 2, np.nan
    (rank,) = session.run(("rank",), {"query": query, "item": np.array([1, 2])})
    assert rank.tolist() == [5, 5]
