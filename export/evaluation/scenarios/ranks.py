"""Ranks of the items of scenarios, by a bundle's hybrid score and by each of its parts alone.

    scenario -> {"weights": part -> weight, "ranked_by": ranking of RANKINGS -> `slices.summary`, "difference": ranking
                 -> `bootstrap.difference` of the hybrid score minus this ranking}

Equal scores count against the item. Popularity orders the items that co-occurrence or content alone do not tell apart.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import EventLog
from encoder.data.sequences import Sequences
from encoder.errors import InputError
from encoder.metrics.baselines import Baselines
from encoder.metrics.hybrid.parts import RANKINGS, Parts, Scores
from encoder.metrics.hybrid.questions import Cases
from encoder.metrics.hybrid.scores import HybridWeights
from encoder.metrics.ranking import ranks_of
from export.evaluation.bootstrap import difference
from export.evaluation.queries import queries
from export.evaluation.scenarios.cases import first_times_ms, make_cases
from export.evaluation.scored_events import ScoredEvents
from export.evaluation.slices import summary
from export.runtime.bundle import Bundle
from export.runtime.queries import recent_items
from export.runtime.stepper import Stepper

TILE_EVENTS = 64  # events whose scores are in memory at a time


def scenario_metrics(
    bundle: Bundle, stepper: Stepper, scored: ScoredEvents, history: EventLog | None, new_days: float
) -> dict[str, Any]:
    """The metrics of each scenario. Popularity is counted in the history.

    Raises InputError without a history, and where the bundle has no counts for hybrid scores.
    """
    if history is None:
        raise InputError("--scenarios counts popularity in a history: give --rest, or --history LOG")
    if bundle.hybrid is None:
        raise InputError(
            f"bundle {bundle.bundle_id} has no counts for hybrid scores, because an earlier version trained its model: "
            "train the model again, and export it"
        )
    items, vocabulary = bundle.manifest.items, bundle.vocabulary
    popularity = Baselines.from_sequences(Sequences.from_log(history, vocabulary), items).popularity
    parts = [(vocabulary.item_index(history), history.time_ms), (scored.sequences.item, scored.event_time_ms)]
    first_ms = first_times_ms(parts, items)
    found = {}
    for name, cases in make_cases(scored, vocabulary.actions, first_ms, new_days).items():
        weights = HybridWeights(**bundle.manifest.hybrid["home" if cases.baskets is None else "cart"])
        ranks = ranks_of_cases(bundle, stepper, scored, cases, weights, popularity)
        user = scored.event_user[cases.position]
        found[name] = {
            "weights": weights._asdict(),
            "ranked_by": {ranking: summary(one, user) for ranking, one in ranks.items()},
            "difference": {
                ranking: difference(user, ranks["hybrid"], one) for ranking, one in ranks.items() if ranking != "hybrid"
            },
        }
    return found


def ranks_of_cases(
    bundle: Bundle,
    stepper: Stepper,
    scored: ScoredEvents,
    cases: Cases,
    weights: HybridWeights,
    popularity: NDArray[np.int64],
) -> dict[str, NDArray[np.int64]]:
    """Ranking -> (m,) ranks."""
    assert bundle.hybrid is not None
    sequences, position = scored.sequences, cases.position
    item = sequences.item[position]
    ranks = {name: np.zeros(len(position), np.int64) for name in RANKINGS}
    user = scored.event_user[position]
    for pairs, query in queries(bundle, stepper, sequences, user, position - sequences.starts[user]):
        for begin in range(pairs.start, pairs.stop, TILE_EVENTS):
            tile = slice(begin, min(begin + TILE_EVENTS, pairs.stop))
            asked = query[tile.start - pairs.start : tile.stop - pairs.start]
            contexts = _recent(bundle, asked) if cases.baskets is None else cases.baskets[tile]
            parts = Parts.of(bundle.hybrid, bundle.scores(asked), contexts)
            for name, scores in parts.scores(weights, popularity[1:]).items():
                _leave_out(scores, scored, cases, position[tile])
                ranks[name][tile] = ranks_of(scores, item[tile])
    return ranks


def _leave_out(scores: Scores, scored: ScoredEvents, cases: Cases, position: NDArray[np.int64]) -> None:
    """Set the scores of items that are not recommended to -inf. The actual item stays."""
    if cases.is_own_left_out:
        event, own = scored.sequences.earlier_items(position)
        scores[event, own - 1] = -np.inf
    if cases.candidates is not None:
        scores[:, ~cases.candidates[1:]] = -np.inf


def _recent(bundle: Bundle, query: NDArray[np.float32]) -> list[list[int]]:
    places = bundle.manifest.recent_places
    if not places:
        return [[]] * len(query)
    found, _ = recent_items(query, places)
    return [[item for item in row if item > 0] for row in found.tolist()]
