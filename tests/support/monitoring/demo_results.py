"""Scores and a progress as the demo shows them."""

import io

from rich.console import Console

from streams.demo.results import Progress
from streams.monitor.scoring.scores import Scores
from streams.monitor.scoring.window_counts import SCORERS

SCORES = Scores(
    events=5_000,
    unknown_items=31,
    without_history=700,
    metrics={
        scorer: {"recall@20": 0.4 / n, "mrr@20": 0.1 / n, "ndcg@20": 0.2 / n} for n, scorer in enumerate(SCORERS, 1)
    },
)
PROGRESS = Progress(
    stage="streaming",
    elapsed_s=62.0,
    total_records=1_000_000,
    sent=500_000,
    applied=499_000,
    already_applied=600,
    dead_letters=400,
    events_per_s=23_456.7,
    lag=12_345,
    freshness_p50_ms=9.87,
    freshness_p99_ms=1234.0,
    rolling=SCORES,
    catalogue_items=5_000,
)


def plain_console(terminal: bool, width: int = 100) -> Console:
    """A console without colours that keeps its text."""
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)


def shown(console: Console) -> str:
    """The text that a plain console holds."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
