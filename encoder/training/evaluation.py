"""Offline evaluation: ranks the item of every event over the whole catalogue, before the model has seen the event."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.data.batches.windows import Window, length_batches, windows
from encoder.data.event_log import EventLog
from encoder.data.sequences import Sequences
from encoder.data.vocabulary import Vocabulary
from encoder.metrics.baselines import Baselines
from encoder.metrics.churn import CHURN_DAYS, churn_metrics, churn_outcomes
from encoder.metrics.next_action import action_metrics
from encoder.metrics.next_time import time_metrics
from encoder.metrics.ranking import MISS, ranking_metrics
from encoder.metrics.time_mixture import COMPONENTS
from encoder.model.user_model import UserModel

MAX_STEPS = 128  # events of a user in a window
MAX_PLACES = 4_096  # places of a batch's first window
MAX_SCORES = 4_000_000  # scores in memory at a time
CHECKED_ROWS = 64  # representations whose scores `gives_finite_scores` looks at


def evaluate(
    model: UserModel,
    vocabulary: Vocabulary,
    baselines: Baselines,
    log: EventLog,
    history: EventLog | None = None,
) -> dict[str, Any]:
    """Metrics of the model and of the baselines over the events of `log`.

    history: the earlier part of the same log, whose events are stepped first and not scored. None: users start without
    history, as in a stream of `log`.

    Returns {"warm": events with history, "first": first events of users} -> {"model", "masked": the model without the
    user's own other items in the ranking, "popularity", "last_item"} -> metrics, and "history" -> {"events", "users"}
    of the scored users. An item outside the catalogue is a miss for all of them. For a model with heads, the result
    also has "heads" with the metrics of `head_metrics`.
    """
    before = log[:0] if history is None else history[np.isin(history.user, log.user)]
    whole = before.followed_by(log)
    sequences = Sequences.from_log(whole, vocabulary)
    is_scored = sequences.row >= len(before)
    item, previous = sequences.item[is_scored], sequences.previous_item()[is_scored]
    ranked, masked = model_and_masked_ranks(model, sequences, is_scored)
    ranks = {
        "model": ranked,
        "masked": masked,
        "popularity": baselines.popularity_ranks(item),
        "last_item": baselines.last_item_ranks(previous, item),
    }
    is_first = sequences.history_lengths()[is_scored] == 0
    heads = head_metrics(model, vocabulary, whole, sequences, is_scored)
    parts: dict[str, Any] = {
        part: {name: ranking_metrics(all_ranks[selected]) for name, all_ranks in ranks.items()}
        for part, selected in (("warm", ~is_first), ("first", is_first))
    }
    parts["history"] = {"events": len(before), "users": len(np.unique(before.user))}
    return parts | ({"heads": heads} if heads else {})


def head_metrics(
    model: UserModel,
    vocabulary: Vocabulary,
    log: EventLog,
    sequences: Sequences,
    is_scored: NDArray[np.bool_] | None = None,
) -> dict[str, Any]:
    """Metrics of the model's heads over a log, or {} for a model without heads.

    is_scored: (n,) which events of the sequences count; None: all. "action" counts every event, "time" counts events
    with history, and "churn" has the metrics by number of days. The log must be longer than the days.
    """
    if model.heads is None:
        return {}
    is_scored = np.ones(len(sequences.item), bool) if is_scored is None else is_scored
    probability, mixture = head_outputs(model, sequences)
    later = np.flatnonzero((sequences.gap_ms >= 0) & is_scored)
    time_ms, end_ms = log.time_ms[sequences.row], int(log.time_ms.max())
    churn = {}
    for days in CHURN_DAYS:
        known, churned = churn_outcomes(sequences.gap_ms, sequences.starts, time_ms, end_ms, days)
        known &= is_scored
        if known.any():
            churn[f"{days}d"] = churn_metrics(mixture, known, churned, days)
    return {
        "action": action_metrics(probability[is_scored], sequences.action[is_scored], vocabulary.actions),
        "time": time_metrics(mixture[later - 1], sequences.gap_ms[later], end_ms - time_ms[later - 1]),
        "churn": churn,
    }


@torch.no_grad()
def head_outputs(model: UserModel, sequences: Sequences) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The outputs of the heads for all n events in the order of the sequences. Users start without history.

    Returns the probabilities of each event's action from before the event (n, A + 1), and the mixtures of the time from
    each event to the next event (n, 3K).
    """
    assert model.heads is not None
    probability = np.zeros((len(sequences.item), model.config.actions + 1), np.float32)
    mixture = np.zeros((len(sequences.item), 3 * COMPONENTS), np.float32)
    for window, before, after in _representations(model, sequences):
        real = window.position >= 0
        position, mask = window.position[real], torch.from_numpy(real)
        probability[position] = model.heads.outputs(before[mask])[0].cpu().numpy()
        mixture[position] = model.heads.outputs(after[mask])[1].cpu().numpy()
    return probability, mixture


@torch.no_grad()
def representations(
    model: UserModel, sequences: Sequences, position: NDArray[np.int64]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(m, R) float32 representations before and after the events at m ascending positions, in memory of the CPU."""
    row = np.full(len(sequences.item), -1)
    row[position] = np.arange(len(position))
    parts = torch.zeros(2, len(position), model.representation_width)
    for window, *sides in _representations(model, sequences):
        chosen = (window.position >= 0) & (row[window.position] >= 0)
        for part, side in zip(parts, sides, strict=True):
            part[torch.from_numpy(row[window.position[chosen]])] = side[torch.from_numpy(chosen)].cpu()
    return parts[0], parts[1]


@torch.no_grad()
def model_ranks(model: UserModel, sequences: Sequences, scored: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """The rank of each event's item under the representation before the event. Users start without history.

    scored: (n,) which events to rank; None: all. The model steps over all events. Returns (number of scored events,)
    ranks in the order of the sequences. Ties count against the model, and an unknown item has MISS.
    """
    ranks = np.full(len(sequences.item), MISS, np.int64)
    scored = np.ones(len(ranks), bool) if scored is None else scored
    model.eval()
    vectors = model.item_vectors().T
    for position, events in scored_events(model, sequences, scored):
        for part, scores, target in _scores(model, events, vectors):
            ranks[position[part]] = (scores >= target).sum(dim=1).cpu().numpy()
    return ranks[scored]


@torch.no_grad()
def model_and_masked_ranks(
    model: UserModel, sequences: Sequences, scored: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The ranks of `model_ranks`, and those in a ranking without the other items that the user had before the event.

    The actual item always stays in the ranking.
    """
    ranks, masked = (np.full(len(sequences.item), MISS, np.int64) for _ in range(2))
    model.eval()
    vectors = model.item_vectors().T
    for position, events in scored_events(model, sequences, scored):
        for part, scores, target in _scores(model, events, vectors):
            rank = (scores >= target).sum(dim=1).cpu().numpy()
            event, own = (torch.from_numpy(one).to(scores.device) for one in sequences.earlier_items(position[part]))
            above = event[scores[event, own - 1] >= target[event, 0]].cpu().numpy()
            ranks[position[part]], masked[position[part]] = rank, rank - np.bincount(above, minlength=len(rank))
    return ranks[scored], masked[scored]


class ScoredEvents(NamedTuple):
    """Everything on which the ranks of m events' items depend, from before the events."""

    item: torch.Tensor  # (m,) int64, above 0
    scoring: torch.Tensor  # (m, D) float32, the part of the representation that scores
    recent_item: torch.Tensor  # (m, K) int64; this and the next three as in `encoder.data.recent_items.RecentItems`
    recent_action: torch.Tensor  # (m, K) int64
    recent_age_s: torch.Tensor  # (m, K) float32
    recent_count: torch.Tensor  # (m, K) float32

    def at(self, part: slice) -> "ScoredEvents":
        """Some of the events."""
        return ScoredEvents(*(values[part] for values in self))


@torch.no_grad()
def scored_events(
    model: UserModel, sequences: Sequences, scored: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.int64], ScoredEvents]]:
    """Yield the events with a known item among `scored` (n,), and their positions in the sequences."""
    user = np.repeat(np.arange(len(sequences)), sequences.lengths)
    for window, before, _ in _representations(model, sequences, np.unique(user[scored])):
        chosen = (window.item > 0) & (window.position >= 0) & scored[window.position]
        if chosen.any():
            scoring = before[torch.from_numpy(chosen)][:, : model.config.width]
            recent = window.recent
            values = (
                torch.from_numpy(part[chosen]).to(scoring.device)
                for part in (window.item, recent.item, recent.action, recent.age_s, recent.count)
            )
            yield window.position[chosen], ScoredEvents(next(values), scoring, *values)


@torch.no_grad()
def gives_finite_scores(model: UserModel, sequences: Sequences) -> bool:
    """Whether the scores of all items are finite for some users. Finite weights can be too large for finite scores."""
    _, _, after = next(_representations(model, sequences))
    rows = after.flatten(0, 1)[:CHECKED_ROWS]
    return bool(rows.isfinite().all() and (rows[:, : model.config.width] @ model.item_vectors().T).isfinite().all())


def _representations(
    model: UserModel, sequences: Sequences, users: NDArray[np.int64] | None = None
) -> Iterator[tuple[Window, torch.Tensor, torch.Tensor]]:
    """Yield windows over the users, with the (B, T, R) representations before and after each event.

    users: (U,) ascending indices; None: all users.
    """
    model.eval()
    users = np.arange(len(sequences)) if users is None else users
    for batch in length_batches(sequences.lengths[users], MAX_PLACES, MAX_STEPS):
        for window in windows(sequences, users[batch], MAX_STEPS):
            n = len(window.item)
            if window.starts_all_users:
                state, last = model.initial_recurrent_state(n), model.initial_representation(n)
            device = model.head.weight.device
            item, action, gap_ms = (torch.from_numpy(x).to(device) for x in (window.item, window.action, window.gap_ms))
            features = {name: torch.from_numpy(window.features[name]).to(device) for name in model.config.features}
            after, state = model.sequence(item, action, gap_ms, state[:n], features)
            yield window, torch.cat([last[:n].unsqueeze(1), after[:, :-1]], dim=1), after
            last = after[:, -1]


def item_scores(model: UserModel, events: ScoredEvents, vectors: torch.Tensor) -> torch.Tensor:
    """(m, N) float32 scores of all items before m events. vectors: (D, N) of all items."""
    scores = events.scoring @ vectors
    if model.recent is not None:
        added = model.recent(events.recent_item, events.recent_action, events.recent_age_s, events.recent_count)
        scores.scatter_add_(1, (events.recent_item - 1).clamp(min=0), added)
    return scores


def _scores(
    model: UserModel, events: ScoredEvents, vectors: torch.Tensor
) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
    """Yield parts of m events, their scores (k, N) of all items, and the scores (k, 1) of the events' items.

    vectors: (D, N) of all items.
    """
    rows = max(1, MAX_SCORES // vectors.shape[1])
    for begin in range(0, len(events.item), rows):
        at = slice(begin, begin + rows)
        part = events.at(at)
        scores = item_scores(model, part, vectors)
        yield at, scores, scores.gather(1, part.item[:, None] - 1)
