"""The cost of a disturbed history: metrics of the same scored events under states that saw disturbed events.

METHOD says what is disturbed. This module is pure, except for the ranks that its caller computes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.data.sequences import Sequences
from encoder.metrics.ranking import mrr, recall
from export.evaluation.bootstrap import K
from export.evaluation.scored_events import Indices, ScoredEvents, gaps_ms

METHOD = """\
Only the events that the state sees are disturbed. The clean events are scored.

Every event of a user, in the history log and in the scored log, is chosen with the same probability and a fixed seed:

- dropped: a chosen event never reaches the state. The next gap counts from the event before.
- duplicated: a chosen event is stepped twice, the second time with a gap of 0.
- shuffled: a chosen event arrives one place late, after the user's next event, with a gap of 0 as in a worker. Until
  then the state has not seen the event. No event is stepped before it happened.
- replaced: the state sees another item, drawn evenly from the catalogue. Action and time stay.

An event is ranked under the state of those earlier events that have arrived."""

SHARES = (0.05, 0.1, 0.2, 0.4)
SEED = 0


class Perturbed(NamedTuple):
    """The events that the states see."""

    sequences: Sequences
    seen: Indices  # (m,) how many of the user's disturbed events come before each scored event


def robustness(
    scored: ScoredEvents,
    live: NDArray[np.int64],
    ranks_of: Callable[[Sequences, Indices], NDArray[np.int64]],
    items: int,
    on_progress: Callable[[str], None],
) -> dict[str, Any]:
    """The metrics of events of users with history, at each share of disturbed events.

    live: (m,) ranks under clean states. ranks_of: gives (m,) ranks under the states of a `Perturbed`. items: N. Returns
    kind of disturbance -> share ("0" is clean) -> {"n", "recall@20", "mrr@20"}.
    """
    warm = scored.steps > 0
    curves: dict[str, Any] = {}
    for kind in PERTURBATIONS:
        curves[kind] = {"0": _metrics(live[warm])}
        for share in SHARES:
            on_progress(f"{share:.0%} of the history {kind}")
            curves[kind][f"{share:g}"] = _metrics(ranks_of(*perturb(scored, kind, share, items))[warm])
    return curves


def perturb(scored: ScoredEvents, kind: str, share: float, items: int) -> Perturbed:
    """Disturb a share of the events. kind: of PERTURBATIONS. items: N. Equal arguments disturb the same events."""
    rng = np.random.default_rng(SEED)
    chosen = rng.random(len(scored.event_user)) < share
    return PERTURBATIONS[kind](scored, chosen, rng, items)


def _dropped(scored: ScoredEvents, chosen: NDArray[np.bool_], rng: np.random.Generator, items: int) -> Perturbed:
    return _repeated(scored, np.where(chosen, 0, 1))


def _duplicated(scored: ScoredEvents, chosen: NDArray[np.bool_], rng: np.random.Generator, items: int) -> Perturbed:
    return _repeated(scored, np.where(chosen, 2, 1))


def _shuffled(scored: ScoredEvents, chosen: NDArray[np.bool_], rng: np.random.Generator, items: int) -> Perturbed:
    steps = scored.sequences.history_lengths()
    order = np.lexsort((steps + 1.5 * chosen, scored.event_user))
    is_late = np.concatenate([[False], chosen[:-1]]) & (steps > 0)  # the event before has not arrived yet
    return Perturbed(_in_order_of_arrival(scored, order, scored.sequences.item), (steps - is_late)[scored.target])


def _replaced(scored: ScoredEvents, chosen: NDArray[np.bool_], rng: np.random.Generator, items: int) -> Perturbed:
    item = np.where(chosen, rng.integers(1, items + 1, len(chosen)), scored.sequences.item)
    return Perturbed(_in_order_of_arrival(scored, np.arange(len(item)), item), scored.steps)


PERTURBATIONS: dict[str, Callable[[ScoredEvents, NDArray[np.bool_], np.random.Generator, int], Perturbed]] = {
    "dropped": _dropped,
    "duplicated": _duplicated,
    "shuffled": _shuffled,
    "replaced": _replaced,
}


def _repeated(scored: ScoredEvents, times: Indices) -> Perturbed:
    """Each event `times` times, one directly after another. times: (n,)."""
    before = np.concatenate([[0], np.cumsum(times)])
    seen = before[scored.target] - before[scored.sequences.starts[scored.user]]
    order = np.repeat(np.arange(len(times)), times)
    return Perturbed(_in_order_of_arrival(scored, order, scored.sequences.item), seen)


def _in_order_of_arrival(scored: ScoredEvents, order: Indices, item: Indices) -> Sequences:
    """The events at the clean positions `order`, which are grouped by user. item: (n,) of the clean positions."""
    user = scored.event_user[order]
    lengths = np.bincount(user, minlength=len(scored.user_ids))
    return Sequences(
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        item=item[order],
        action=scored.sequences.action[order],
        gap_ms=gaps_ms(user, scored.event_time_ms[order]),
        row=scored.sequences.row[order],
        features={name: values[order] for name, values in scored.sequences.features.items()},
    )


def _metrics(ranks: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "n": len(ranks),
        f"recall@{K}": recall(ranks, K) if len(ranks) else None,
        f"mrr@{K}": mrr(ranks, K) if len(ranks) else None,
    }
