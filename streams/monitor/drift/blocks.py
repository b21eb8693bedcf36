"""Figures of blocks of events. Pure: no I/O, no clock.

A block holds at least BLOCK_EVENTS events of users with history and lasts at least BLOCK_MS, so that the figures of two
blocks can be compared at any rate of events.
"""

import math
from collections import Counter
from typing import NamedTuple

from streams.contracts.evaluation_events import EvaluationEvent
from streams.monitor.drift.level import Figure

BLOCK_EVENTS = 500
BLOCK_MS = 10_000
CUTOFF = 20  # a rank above has no reciprocal rank, as in mrr@20
MAX_ACTIONS = 10  # a further action counts as "other"

# What is no drift. A reference of 0.2 that becomes 0.18 or 0.22 raises no alarm, however many events a block has.
QUALITY_SLACK = 0.1  # of the reference
ODDS_SLACK = 0.25  # of the odds of a share
SHARE_SLACK = 0.005  # added to the slack of the share of unknown items
GAP_SLACK = 0.3  # of the mean logarithm: about a third longer or shorter
MIX_SLACK = 0.05  # of the mean logarithm of `ItemMix`
NORM_SLACK = 0.1  # of the reference

Key = tuple[str, str]  # (name of the figure, slice)


class Rule(NamedTuple):
    """Which changes of a figure count, and what people read about them."""

    rises: bool
    falls: bool
    subject: str


RULES = {
    "quality_drop": Rule(False, True, "the mean reciprocal rank of the model minus that of the popularity baseline"),
    "unknown_items": Rule(True, False, "the share of events with an item outside the catalogue"),
    "action_mix": Rule(True, True, "the share of this action"),
    "gaps": Rule(True, True, "the mean logarithm of the time since the user's event before, in ms"),
    "item_mix": Rule(True, False, "the difference between the items of the last events and of the events before"),
    "vector_norm": Rule(True, True, "the mean length of the representations"),
}


class Block:
    """The sums of one block of evaluation events."""

    __slots__ = ("_actions", "_age", "_margin", "_mix", "_mix_events", "_start_ms", "_unknown", "events")

    def __init__(self, start_ms: int) -> None:
        self.events = 0
        self._start_ms = start_ms
        self._margin = self._age = self._mix = 0.0
        self._mix_events = self._unknown = 0
        self._actions: Counter[str] = Counter()

    def add(self, event: EvaluationEvent, action: str, popularity_rank: int, mix: float | None) -> None:
        """Count an event of a user with history. popularity_rank: 0 for a miss. mix: the result of `ItemMix`."""
        self.events += 1
        rank = event.rank
        if rank is None:
            self._unknown += 1
        elif rank <= CUTOFF:
            self._margin += 1 / rank
        if 0 < popularity_rank <= CUTOFF:
            self._margin -= 1 / popularity_rank
        self._age += math.log1p(event.state_age_ms or 0)
        self._actions[action] += 1
        if mix is not None:
            self._mix += mix
            self._mix_events += 1

    def is_full(self, time_ms: int) -> bool:
        return self.events >= BLOCK_EVENTS and time_ms - self._start_ms >= BLOCK_MS

    def figures(self, references: dict[Key, float]) -> dict[Key, Figure]:
        """The figures of the block. references: of the figures that have one, from which the slack is computed."""
        n, figures = self.events, {}
        margin = self._margin / n
        slack = QUALITY_SLACK * abs(references.get(("quality_drop", "all"), margin))
        figures["quality_drop", "all"] = Figure(margin, 0.0, slack)
        figures["unknown_items", "all"] = _share(
            self._unknown, n, references.get(("unknown_items", "all")), SHARE_SLACK
        )
        figures["gaps", "all"] = Figure(self._age / n, 0.0, GAP_SLACK)
        if 2 * self._mix_events >= n:  # not a block in which the figure began
            figures["item_mix", "all"] = Figure(self._mix / self._mix_events, 0.0, MIX_SLACK)
        for action, count in self._actions.items():
            key = ("action_mix", f"action={action}")
            figures[key] = _share(count, n, references.get(key))
        for key in references:
            if key[0] == "action_mix" and key not in figures:
                figures[key] = _share(0, n, references[key])
        return figures


def _share(count: int, events: int, reference: float | None, more: float = 0.0) -> Figure:
    expected = count / events if reference is None else reference
    spread = expected * (1 - expected)
    floor = math.sqrt(max(spread, 1 / events) / events)
    return Figure(count / events, floor, ODDS_SLACK * spread + more)
