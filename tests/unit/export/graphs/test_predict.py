"""The predict graph ranks items."""

import numpy as np
import onnxruntime as ort

from export.graphs.predict import predict_graph
from export.runtime.providers import CPU


def test_ties_count_against_the_model_and_unknown_items_have_rank_0() -> None:
    vectors = np.zeros((5, 3), np.float32)
    vectors[:, 0] = [3, 2, 2, 1, 1]
    session = ort.InferenceSession(predict_graph(vectors), providers=[CPU])
    representation = np.tile(np.array([1, 0, 0], np.float32), (7, 1))
    representation[6] = np.nan
    (rank,) = session.run(None, {"representation": representation, "item": np.array([0, 1, 2, 3, 4, 5, 1])})
    assert rank.dtype == np.int32
    assert rank.tolist() == [0, 1, 3, 3, 5, 5, 5], "a representation that is not a number gets the worst rank"
