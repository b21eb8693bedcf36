"""Chooses the weights of hybrid scores on the validation part of a log: docs/decisions.md#hybrid-scores.

A question asks which item comes next, before an event of the validation part. The model, the companions and the
popularity know the training part alone.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from encoder.data.sequences import Sequences
from encoder.data.vocabulary import Vocabulary
from encoder.metrics.followers.companions import Companions
from encoder.metrics.hybrid.choice import GRID, MIN_QUESTIONS, Choice, HybridChoices, choose, grid_ranks
from encoder.metrics.hybrid.parts import RANKINGS, Parts
from encoder.metrics.hybrid.questions import Cases, cart_cases
from encoder.metrics.hybrid.scores import WEIGHTS, Hybrid, HybridWeights
from encoder.metrics.ranking import ranking_metrics, ranks_of
from encoder.model.user_model import UserModel
from encoder.training.evaluation import item_scores, scored_events

MAX_QUESTIONS = 5_000  # of a scenario that are looked at
MAX_SCORES = 200_000_000  # of all questions over the catalogue, above which fewer questions are looked at
LEAST_QUESTIONS = 500  # that are looked at in spite of MAX_SCORES
TILE_SCORES = 1_000_000  # of the model that are in memory at a time
SEED = 0


class Counts(NamedTuple):
    """What the training part says of N items."""

    companions: Companions
    popularity: NDArray[np.int64]  # (N + 1,) events of each item


def choose_hybrid_weights(
    model: UserModel,
    vocabulary: Vocabulary,
    sequences: Sequences,
    is_scored: NDArray[np.bool_],
    counts: Counts,
    scale: float,
) -> HybridChoices:
    """The best weights for the scored events of each scenario, {} for a model that does not know recent items.

    is_scored: (n,) which events of the sequences are validation events. scale: by which the dot products of the model
    will be multiplied after the training.
    """
    if model.recent is None:
        return {}
    is_trained = counts.popularity > 0
    # A bundle of the training takes the other items for the unknown item.
    known = replace(sequences, item=np.where(is_trained[sequences.item], sequences.item, 0))
    catalogues = {"trained": (known, is_trained[1:]), "whole": (sequences, np.ones(len(is_trained) - 1, bool))}
    hybrid = Hybrid(
        counts.companions.starts, counts.companions.items, counts.companions.similarities(), model.category_and_brand()
    )
    found: dict[str, dict[str, Choice]] = {name: {} for name in catalogues}
    for name, (seen, is_in) in catalogues.items():
        is_asked = is_scored & (seen.item > 0)
        scenarios = {
            "home": Cases(np.flatnonzero(is_asked & (seen.history_lengths() > 0)), False),
            "cart": cart_cases(seen, np.flatnonzero(is_scored), vocabulary.actions),
        }
        for scenario, cases in scenarios.items():
            drawn = _drawn(cases, is_asked, model.config.items)
            questions = _questions(model, seen, drawn, hybrid, scale)
            ranks = [_ranks(item, parts, is_in, counts.popularity[1:]) for item, parts in questions]
            found[name][scenario] = _choice(ranks, HybridWeights(**WEIGHTS[scenario]))
    return found


def _drawn(cases: Cases, is_asked: NDArray[np.bool_], items: int) -> Cases:
    """At most MAX_QUESTIONS of the questions before validation events, drawn at random with a fixed seed."""
    chosen = np.flatnonzero(is_asked[cases.position])
    most = min(MAX_QUESTIONS, max(LEAST_QUESTIONS, MAX_SCORES // items))
    if len(chosen) > most:
        chosen = np.sort(np.random.default_rng(SEED).choice(chosen, most, replace=False))
    baskets = None if cases.baskets is None else [cases.baskets[number] for number in chosen.tolist()]
    return cases._replace(position=cases.position[chosen], baskets=baskets)


def _questions(
    model: UserModel, sequences: Sequences, cases: Cases, hybrid: Hybrid, scale: float
) -> Iterator[tuple[NDArray[np.int64], Parts]]:
    """Yield the items that came, (k,), and the scores of all items. Items that are not recommended have -inf."""
    is_question = np.zeros(len(sequences.item), bool)
    is_question[cases.position] = True
    baskets = dict(zip(cases.position.tolist(), cases.baskets or (), strict=False))
    vectors, rows = model.item_vectors().T.detach(), max(1, TILE_SCORES // model.config.items)
    for position, events in scored_events(model, sequences, is_question):
        for begin in range(0, len(position), rows):
            tile = slice(begin, begin + rows)
            part, asked = events.at(tile), position[tile]
            with torch.no_grad():
                scores = (item_scores(model, part, vectors) * scale).cpu().numpy()
            if cases.is_own_left_out:
                event, own = sequences.earlier_items(asked)
                scores[event, own - 1] = -np.inf
            recent = [[item for item in row if item > 0] for row in part.recent_item.tolist()]
            contexts = recent if cases.baskets is None else [baskets[place] for place in asked.tolist()]
            yield part.item.cpu().numpy(), Parts.of(hybrid, scores, contexts)


class _Ranks(NamedTuple):
    """The ranks of k items that came."""

    grid: NDArray[np.int64]  # (G, k) by the weights of GRID
    alone: dict[str, NDArray[np.int64]]  # ranking -> (k,)


def _ranks(item: NDArray[np.int64], parts: Parts, is_in: NDArray[np.bool_], popularity: NDArray[np.int64]) -> _Ranks:
    """The ranks among the items of a catalogue, to which the items that came belong. is_in: (N,)."""
    item = np.cumsum(is_in, dtype=np.int64)[item - 1]  # by their numbers in the catalogue, from 1
    parts = Parts(*(scores[:, is_in] for scores in parts))
    is_left_out: NDArray[np.bool_] = np.isneginf(parts.model)
    alone = {}
    for name, of_ranking in parts.scores(HybridWeights(), popularity[is_in]).items():
        of_ranking[is_left_out] = -np.inf
        alone[name] = ranks_of(of_ranking, item)
    return _Ranks(grid_ranks(parts, item), alone)


def _choice(of_tiles: list[_Ranks], default: HybridWeights) -> Choice:
    grid = np.concatenate([np.empty((len(GRID), 0), np.int64), *(tile.grid for tile in of_tiles)], axis=1)
    is_fitted = grid.shape[1] >= MIN_QUESTIONS
    weights = choose(grid) if is_fitted else default
    ranks = {"hybrid": grid[GRID.index(weights)], "model": grid[0]}
    for name in RANKINGS[2:]:
        ranks[name] = np.concatenate([np.empty(0, np.int64), *(tile.alone[name] for tile in of_tiles)])
    figures: dict[str, dict[str, float | int]] = {
        name: ranking_metrics(one) if len(one) else {"n": 0} for name, one in ranks.items()
    }
    return Choice(weights._asdict(), is_fitted, figures)
