"""Offline evaluation: every event's item ranked over the whole catalogue, before the model has seen the event."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.sequences import Sequences
from encoder.data.vocabulary import Vocabulary
from encoder.data.windows import Window, length_batches, windows
from encoder.metrics.baselines import Baselines
from encoder.metrics.churn import CHURN_DAYS, churn_metrics, churn_outcomes
from encoder.metrics.next_action import action_metrics
from encoder.metrics.next_time import time_metrics
from encoder.metrics.ranking import MISS, ranking_metrics
from encoder.metrics.time_mixture import COMPONENTS
from encoder.model.user_model import UserModel

WINDOW = 128  # events of a user at a time
EVENTS = 4_096  # events of a batch at a time
SCORES = 4_000_000  # scores held at a time


def evaluate(model: UserModel, vocabulary: Vocabulary, baselines: Baselines, log: EventLog) -> dict[str, Any]:
    """Metrics of the model and of the baselines over a log, users starting without history, as a stream of it would.

    Returns {"warm": events with history, "first": the users' first events} -> {"model", "popularity", "last_item"} ->
    metrics. An item outside the catalogue is a miss for all of them. Where the model has heads, also "heads": those of
    `head_metrics`.
    """
    sequences = Sequences.from_log(log, vocabulary)
    item, previous = sequences.item, sequences.previous_item()
    ranks = {
        "model": model_ranks(model, sequences),
        "popularity": baselines.popularity_ranks(item),
        "last_item": baselines.last_item_ranks(previous, item),
    }
    is_first = sequences.history_lengths() == 0
    heads = head_metrics(model, vocabulary, log, sequences)
    return {
        part: {by: ranking_metrics(of[selected]) for by, of in ranks.items()}
        for part, selected in (("warm", ~is_first), ("first", is_first))
    } | ({"heads": heads} if heads else {})


def head_metrics(model: UserModel, vocabulary: Vocabulary, log: EventLog, sequences: Sequences) -> dict[str, Any]:
    """Metrics of the model's heads over a log: "action" of every event, "time" of those with history, and "churn" after
    every event, by days, where the log is longer than those. Empty without heads."""
    if model.heads is None:
        return {}
    probability, mixture = head_outputs(model, sequences)
    later = np.flatnonzero(sequences.gap_ms >= 0)
    time_ms, end_ms = log.time_ms[sequences.row], int(log.time_ms.max())
    churn = {}
    for days in CHURN_DAYS:
        known, churned = churn_outcomes(sequences.gap_ms, sequences.starts, time_ms, end_ms, days)
        if known.any():
            churn[f"{days}d"] = churn_metrics(mixture, known, churned, days)
    return {
        "action": action_metrics(probability, sequences.action, vocabulary.actions),
        "time": time_metrics(mixture[later - 1], sequences.gap_ms[later], end_ms - time_ms[later - 1]),
        "churn": churn,
    }


@torch.no_grad()
def head_outputs(model: UserModel, sequences: Sequences) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(n, A + 1) probabilities of each event's action from before it, (n, 3K) mixtures of the time from each event to
    the next, in the order of the sequences, users starting without history."""
    assert model.heads is not None
    probability = np.zeros((len(sequences.item), model.config.actions + 1), np.float32)
    mixture = np.zeros((len(sequences.item), 3 * COMPONENTS), np.float32)
    for window, before, after in _stepped(model, sequences):
        real = window.position >= 0
        position, mask = window.position[real], torch.from_numpy(real)
        probability[position] = model.heads.outputs(before[mask])[0].cpu().numpy()
        mixture[position] = model.heads.outputs(after[mask])[1].cpu().numpy()
    return probability, mixture


@torch.no_grad()
def model_ranks(model: UserModel, sequences: Sequences, scored: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Rank of each event's item under the representation before it, users starting without history.

    scored: (n,) which positions of the sequences to rank, None for all; the model steps over all of them. Returns
    (number scored,) ranks in the order of the sequences; ties count against the model, MISS for an unknown item.
    """
    ranks = np.full(len(sequences.item), MISS, np.int64)
    scored = np.ones(len(ranks), bool) if scored is None else scored
    model.eval()
    vectors = model.item_vectors().T
    for window, before, _ in _stepped(model, sequences):
        known = (window.item > 0) & (window.position >= 0) & scored[window.position]
        representations = before[torch.from_numpy(known)][:, : model.config.width]
        ranks[window.position[known]] = _ranks(representations, torch.from_numpy(window.item[known]), vectors)
    return ranks[scored]


def _stepped(model: UserModel, sequences: Sequences) -> Iterator[tuple[Window, torch.Tensor, torch.Tensor]]:
    """Windows over all users, with the (B, T, R) representations before and after their events."""
    model.eval()
    for users in length_batches(sequences.lengths, EVENTS, WINDOW):
        for window in windows(sequences, users, WINDOW):
            n = len(window.item)
            if window.starts_all_users:
                state, last = model.initial_state(n), model.initial_representation(n)
            device = model.head.weight.device
            item, action, gap_ms = (torch.from_numpy(x).to(device) for x in (window.item, window.action, window.gap_ms))
            features = {name: torch.from_numpy(window.features[name]).to(device) for name in model.config.features}
            after, state = model.sequence(item, action, gap_ms, state[:n], features)
            yield window, torch.cat([last[:n].unsqueeze(1), after[:, :-1]], dim=1), after
            last = after[:, -1]


def _ranks(representations: torch.Tensor, item: torch.Tensor, vectors: torch.Tensor) -> NDArray[np.int64]:
    item, rows = item.to(vectors.device), max(1, SCORES // vectors.shape[1])
    parts = [np.zeros(0, np.int64)]
    for begin in range(0, len(item), rows):
        scores = representations[begin : begin + rows] @ vectors
        target = scores.gather(1, item[begin : begin + rows, None] - 1)
        parts.append((scores >= target).sum(dim=1).cpu().numpy())
    return np.concatenate(parts)
