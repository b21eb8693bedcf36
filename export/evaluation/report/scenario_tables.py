"""The table of `export.evaluation.scenarios` as text."""

from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from encoder.console import print_table

SCENARIOS = {
    "home": "home: the next item",
    "to_the_user": "home: an item new to the user",
    "cart": "cart: the next item of a basket",
    "new": "new: an item that appeared lately",
}
RANKED_BY = {
    "hybrid": "hybrid score",
    "model": "model alone",
    "co": "co-occurrence alone",
    "content": "content alone",
    "popularity": "popularity",
}
METRICS = ("recall@20", "mrr@20")


def print_scenarios(console: Console, scenarios: dict[str, Any]) -> None:
    """Print the result of `export.evaluation.scenarios.ranks.scenario_metrics`."""
    table = Table(title="Scenarios, with 95% intervals, and the hybrid score minus each ranking", box=SIMPLE)
    for heading in ("scenario", "ranked by"):
        table.add_column(heading)
    for heading in ("recall@20", "mrr@20", "recall@20: hybrid minus", "mrr@20: hybrid minus", "n"):
        table.add_column(heading, justify="right")
    for scenario, found in scenarios.items():
        for ranking, metrics in found["ranked_by"].items():
            difference = found["difference"].get(ranking, dict.fromkeys(METRICS))
            table.add_row(
                SCENARIOS[scenario],
                RANKED_BY[ranking],
                *(_with_interval(metrics[name], metrics["interval"][name]) for name in METRICS),
                *(_difference(difference[name]) for name in METRICS),
                f"{metrics['n']:,}",
            )
    print_table(console, table)


def _with_interval(value: float | None, interval: list[float] | None) -> str:
    return "-" if value is None or interval is None else f"{value:.4f} ({interval[0]:.4f} to {interval[1]:.4f})"


def _difference(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    low, high = found["interval"]
    return f"{found['difference']:+.4f} ({low:+.4f} to {high:+.4f})"
