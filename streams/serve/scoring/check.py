"""`thalweg serve --check`: how many of the best items are among those that the index of a large catalogue proposes."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from encoder.console import print_table
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from streams.serve.scoring.expected_users import expected_queries
from streams.serve.scoring.item_index import MOST_EXACT, ItemIndex
from streams.serve.scoring.scorer import Scored, Scorer, TopQuery

T = TypeVar("T")

RECALL_FLOOR = 0.95  # of each figure
USERS = 200
COUNTS = (20, 100)  # best items that are asked for
BASKET = 3  # items, the user's last ones


class Answers(NamedTuple):
    """The answers of a server with an index to the questions of one scenario for the best items."""

    scenario: str
    best: int  # best items that were asked for
    recall: float  # share of the exact answers' items that the answers have
    exact_ms: float  # CPU of an exact answer that shares its pass with no other question
    indexed_ms: float  # CPU of an answer
    exact_share: float  # of the answers, because items that the index did not propose might have been better


def check(bundle: Bundle, console: Console, most_exact: int = MOST_EXACT) -> bool:
    """Measure a bundle and print the result. False where a recall is below RECALL_FLOOR.

    Raises SettingsError where the catalogue is large and faiss is not installed.
    """
    name, items = bundle.bundle_id, bundle.manifest.items
    if items <= most_exact:
        console.print(f"{name}: all answers are exact, since the bundle has {items:,} of at most {most_exact:,} items")
        return True
    scorer = Scorer(bundle)
    index, built_ms = _timed(lambda: ItemIndex(scorer.vectors))
    found = measure(scorer, index, expected_queries(bundle, Stepper(bundle, on_cpu=True), USERS))
    _print(console, f"{name}: {items:,} items, questions of {USERS} users", found)
    lowest = min(one.recall for one in found)
    console.print(
        f"{name}: the lowest recall is {lowest:.4f}, and the floor is {RECALL_FLOOR}; "
        f"the index took {built_ms / 1e3:.1f} s of CPU and has {index.size_bytes / 1e6:.0f} MB"
    )
    if lowest < RECALL_FLOOR:
        console.print(f"{name}: a server without the packages of the extra `approximate` gives exact answers alone")
    return lowest >= RECALL_FLOOR


def measure(scorer: Scorer, index: ItemIndex, queries: NDArray[np.float32]) -> list[Answers]:
    """Ask with each of (n, Q) queries for what the user wants next, and for what goes with the user's last items."""
    found = []
    for scenario, has_basket in (("home", False), ("cart", True)):
        for count in COUNTS:
            wanted = [
                TopQuery(query, count, scenario=scenario, context=scorer.recent(query)[:BASKET] if has_basket else None)
                for query in queries
            ]
            found.append(_answers(scenario, count, scorer, index, wanted))
    return found


def _answers(scenario: str, count: int, scorer: Scorer, index: ItemIndex, wanted: Sequence[TopQuery]) -> Answers:
    exact, exact_ms = _timed(lambda: [scorer.exact([one])[0] for one in wanted])
    indexed, indexed_ms = _timed(lambda: [scorer.indexed(one, index) for one in wanted])
    exact_share = sum(one is None for one in indexed) / len(wanted)
    return Answers(
        scenario,
        count,
        float(np.mean([_share_found(*both) for both in zip(exact, indexed, strict=True)])),
        exact_ms / len(wanted),
        (indexed_ms + exact_share * exact_ms) / len(wanted),
        exact_share,
    )


def _share_found(exact: Scored, indexed: Scored | None) -> float:
    return 1.0 if indexed is None else float(np.isin(exact.item, indexed.item).mean())


def _timed(call: Callable[[], T]) -> tuple[T, float]:
    """What the call returns, and its CPU in ms."""
    began_s = time.thread_time()
    return call(), (time.thread_time() - began_s) * 1e3


def _print(console: Console, title: str, found: Sequence[Answers]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("scenario")
    for name in ("best", "recall", "exact, ms of CPU", "with the index, ms", "of these exact"):
        table.add_column(name, justify="right")
    for one in found:
        times = (f"{value:.2f}" for value in (one.exact_ms, one.indexed_ms))
        table.add_row(one.scenario, str(one.best), f"{one.recall:.4f}", *times, f"{one.exact_share:.1%}")
    print_table(console, table)
