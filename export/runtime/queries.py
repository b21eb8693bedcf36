"""Queries: everything about a user that the scores of items depend on. This module does not need torch.

A query is the user's representation. Where the bundle knows recent items, the K recent items and their K scores follow
as float32. The recent items are the first K numbers of the last 5 K of a state, and their scores are its last K.
"""

import numpy as np
from numpy.typing import NDArray

from encoder.data.recent_items import FIELDS


def recent_of_states(state: NDArray[np.float32], places: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """(n, S) states -> the outputs recent_items (n, K) and recent_scores (n, K) of step.onnx. places: K, above 0."""
    begin = state.shape[1] - len(FIELDS) * places
    item = state[:, begin : begin + places].astype(np.int32)
    return np.where(item > 0, item, -1), state[:, -places:]


def bought_of_states(state: NDArray[np.float32], places: int) -> NDArray[np.int32]:
    """(n, S) states -> (n, places) items that the users bought last, the newest first, -1 for an empty place."""
    item = state[:, :places].astype(np.int32)
    return np.where(item > 0, item, -1)


def make_queries(representation: NDArray[np.float32], state: NDArray[np.float32], places: int) -> NDArray[np.float32]:
    """(n, R) representations and (n, S) states of the same moment -> (n, R + 2K) queries. places: K."""
    if not places:
        return representation
    begin = state.shape[1] - len(FIELDS) * places
    return np.concatenate([representation, state[:, begin : begin + places], state[:, -places:]], axis=1)


def joined_query(
    representation: NDArray[np.float32], item: NDArray[np.integer], added: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(R,) representation, (K,) recent items, and (K,) what is added to their scores -> (R + 2K,) query.

    An item below 1 stands for an empty place. Without recent items, K is 0.
    """
    return np.concatenate([representation, np.maximum(item, 0), added], dtype=np.float32)


def recent_items(query: NDArray[np.float32], places: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(n, R + 2K) queries -> (n, K) items, 0 for an empty place, and (n, K) what is added to the items' scores."""
    end = query.shape[1] - places
    return query[:, end - places : end].astype(np.int64), query[:, end:]


def item_scores(query: NDArray[np.float32], item_vectors: NDArray[np.float32], places: int) -> NDArray[np.float32]:
    """(n, R + 2K) queries, (N + 1, R) item vectors -> (n, N) scores of the items 1 to N."""
    width = item_vectors.shape[1]
    scores: NDArray[np.float32] = query[:, :width] @ item_vectors[1:].T
    if places:
        item, added = recent_items(query, places)
        row, place = np.nonzero(item)
        scores[row, item[row, place] - 1] += added[row, place]
    return scores
