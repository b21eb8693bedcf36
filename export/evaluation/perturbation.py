"""How much disturbed history costs. Only what the state sees is disturbed; scored are the clean events. Pure.

Every event of a user, of the history log and of the scored log, is chosen with a probability `share`, seeded:

- dropped: a chosen event never reaches the state. The next gap is counted from the event before it.
- duplicated: a chosen event is stepped twice, the second time with a gap of 0.
- shuffled: a chosen event arrives one place late, after the user's next event. Until then the state has not seen it,
  and it arrives with a gap of 0, as in a worker. It is never stepped before it happened.
- replaced: a chosen event has another item in the state's eyes, drawn evenly from the catalogue; action and time stay.

An event at position p of the clean order is ranked under the state of what had arrived of the events before p.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoder.data.sequences import Sequences
from export.evaluation.scored_events import Indices, ScoredEvents, gaps_ms

SHARES = (0.05, 0.1, 0.2, 0.4)
SEED = 0


class Perturbed(NamedTuple):
    """What the states see. seen: (m,) int64, how many of the user's disturbed events come before each scored event."""

    sequences: Sequences
    seen: Indices


def dropped(scored: ScoredEvents, chosen: NDArray[np.bool_], draw: np.random.Generator, items: int) -> Perturbed:
    return _repeated(scored, np.where(chosen, 0, 1))


def duplicated(scored: ScoredEvents, chosen: NDArray[np.bool_], draw: np.random.Generator, items: int) -> Perturbed:
    return _repeated(scored, np.where(chosen, 2, 1))


def shuffled(scored: ScoredEvents, chosen: NDArray[np.bool_], draw: np.random.Generator, items: int) -> Perturbed:
    steps = scored.sequences.history_lengths()
    order = np.lexsort((steps + 1.5 * chosen, scored.user))
    is_late = np.concatenate([[False], chosen[:-1]]) & (steps > 0)  # the event before has not arrived
    return Perturbed(_arrived(scored, order, scored.sequences.item), (steps - is_late)[scored.target])


def replaced(scored: ScoredEvents, chosen: NDArray[np.bool_], draw: np.random.Generator, items: int) -> Perturbed:
    item = np.where(chosen, draw.integers(1, items + 1, len(chosen)), scored.sequences.item)
    return Perturbed(_arrived(scored, np.arange(len(item)), item), scored.steps)


PERTURBATIONS: dict[str, Callable[[ScoredEvents, NDArray[np.bool_], np.random.Generator, int], Perturbed]] = {
    "dropped": dropped,
    "duplicated": duplicated,
    "shuffled": shuffled,
    "replaced": replaced,
}


def perturb(scored: ScoredEvents, kind: str, share: float, items: int) -> Perturbed:
    """kind: of PERTURBATIONS; items: N of the catalogue. The same arguments disturb the same events."""
    draw = np.random.default_rng(SEED)
    chosen = draw.random(len(scored.user)) < share
    return PERTURBATIONS[kind](scored, chosen, draw, items)


def _repeated(scored: ScoredEvents, times: Indices) -> Perturbed:
    """Every event so many times, one after another. times: (n,)."""
    before = np.concatenate([[0], np.cumsum(times)])
    seen = before[scored.target] - before[scored.sequences.starts[scored.users]]
    order = np.repeat(np.arange(len(times)), times)
    return Perturbed(_arrived(scored, order, scored.sequences.item), seen)


def _arrived(scored: ScoredEvents, order: Indices, item: Indices) -> Sequences:
    """The clean positions `order`, grouped by user, as the sequences that arrive. item: (n,) of the clean positions."""
    user = scored.user[order]
    lengths = np.bincount(user, minlength=len(scored.user_ids))
    return Sequences(
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        item=item[order],
        action=scored.sequences.action[order],
        gap_ms=gaps_ms(user, scored.time_ms[order]),
        row=scored.sequences.row[order],
        features={name: values[order] for name, values in scored.sequences.features.items()},
    )
