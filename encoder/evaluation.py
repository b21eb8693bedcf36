"""Offline evaluation: every event's item ranked over the whole catalogue, before the model has seen the event."""

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.baselines import Baselines
from encoder.log import EventLog
from encoder.metrics import MISS, ranking_metrics
from encoder.model import UserModel
from encoder.sequences import Sequences, batches, windows
from encoder.vocabulary import Vocabulary

WINDOW = 128  # events of a user at a time
EVENTS = 4_096  # events of a batch at a time
SCORES = 4_000_000  # scores held at a time


def evaluate(
    model: UserModel, vocabulary: Vocabulary, baselines: Baselines, log: EventLog
) -> dict[str, dict[str, dict[str, float]]]:
    """Metrics of the model and of the baselines over a log, users starting without history, as a stream of it would.

    Returns {"warm": events with history, "first": the users' first events} -> {"model", "popularity", "last_item"} ->
    metrics. An item outside the catalogue is a miss for all of them.
    """
    sequences = Sequences.of(log, vocabulary)
    item, previous = sequences.item, sequences.previous_item()
    ranks = {
        "model": model_ranks(model, sequences),
        "popularity": baselines.popularity_ranks(item),
        "last_item": baselines.last_item_ranks(previous, item),
    }
    is_first = sequences.steps() == 0
    return {
        part: {by: ranking_metrics(of[selected]) for by, of in ranks.items()}
        for part, selected in (("warm", ~is_first), ("first", is_first))
    }


@torch.no_grad()
def model_ranks(model: UserModel, sequences: Sequences, scored: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Rank of each event's item under the representation before it, users starting without history.

    scored: (n,) which positions of the sequences to rank, None for all; the model steps over all of them. Returns
    (number scored,) ranks in the order of the sequences; ties count against the model, MISS for an unknown item.
    """
    model.eval()
    ranks = np.full(len(sequences.item), MISS, np.int64)
    scored = np.ones(len(ranks), bool) if scored is None else scored
    vectors = model.item_vectors().T
    for users in batches(sequences.lengths, EVENTS, WINDOW):
        for window in windows(sequences, users, WINDOW):
            n = len(window.item)
            if window.is_first:
                state, before = model.initial_state(n), model.initial_representation(n)
            item, action, gap_ms = (torch.from_numpy(x) for x in (window.item, window.action, window.gap_ms))
            after, state = model.sequence(item, action, gap_ms, state[:n])
            representations = torch.cat([before[:n].unsqueeze(1), after[:, :-1]], dim=1)
            before = after[:, -1]
            known = (item > 0) & torch.from_numpy((window.position >= 0) & scored[window.position])
            position = window.position[known.numpy()]
            ranks[position] = _ranks(representations[known], item[known], vectors)
    return ranks[scored]


def _ranks(representations: torch.Tensor, item: torch.Tensor, vectors: torch.Tensor) -> NDArray[np.int64]:
    rows = max(1, SCORES // vectors.shape[1])
    parts = [np.zeros(0, np.int64)]
    for begin in range(0, len(item), rows):
        scores = representations[begin : begin + rows] @ vectors
        target = scores.gather(1, item[begin : begin + rows, None] - 1)
        parts.append((scores >= target).sum(dim=1).numpy())
    return np.concatenate(parts)
