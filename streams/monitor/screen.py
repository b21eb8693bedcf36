"""The monitor's numbers as tables for a terminal, and as one line of text. Pure rendering."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streams.monitor.exposition import HEADS
from streams.monitor.monitor import BundleScores, Snapshot
from streams.monitor.scoreboard import Scores
from streams.monitor.windows import CUTOFFS, SCORERS

LABELS = {"model": "model", "popularity": "popularity so far", "last_item": "after the last item"}
NAMES = {"recall": "Recall", "mrr": "MRR", "ndcg": "NDCG"}


def figure(value: float) -> str:
    return "-" if value != value else f"{value:.4f}"


def render(snapshot: Snapshot) -> RenderableType:
    """Everything: a table for each bundle, the one seen last first."""
    parts: list[RenderableType] = [_counts(snapshot)]
    parts += [_bundle(bundle_id, scores) for bundle_id, scores in reversed(snapshot.bundles.items())]
    return Group(*parts)


def _counts(snapshot: Snapshot) -> Text:
    text = Text(f"{snapshot.records:,} records, {snapshot.lag:,} to go")
    if snapshot.undecodable:
        text.append(f", {snapshot.undecodable:,} undecodable: {snapshot.problem}", style="red")
    return text


def _bundle(bundle_id: str, scores: BundleScores) -> Table:
    rolling, all_time = scores.rolling, scores.cumulative
    unknown = all_time.unknown_items / all_time.events if all_time.events else 0.0
    table = Table(
        title=f"{bundle_id}",
        caption=f"{all_time.events:,} events of users with history, {unknown:.1%} with an item outside the catalogue; "
        f"{all_time.without_history:,} first events; {scores.duplicates:,} duplicates{_sample(all_time)}"
        f"{_heads(rolling.heads)}",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("")
    for k in CUTOFFS:
        for name in NAMES.values():
            table.add_column(f"{name}@{k}", justify="right")
    for title, window in ((f"last {rolling.events:,}", rolling), (f"all {all_time.events:,}", all_time)):
        table.add_row(title, style="dim")
        for scorer in SCORERS:
            values = window.metrics[scorer]
            cells = [figure(values[f"{name}@{k}"]) for k in CUTOFFS for name in NAMES]
            table.add_row(f"  {LABELS[scorer]}", *cells, style="bold" if scorer == "model" else "")
    return table


def _sample(scores: Scores) -> str:
    """A line on what was not evaluated, where the scores are estimates."""
    if scores.share == 1:
        return ""
    return (
        f"\nestimates: {scores.share:.2%} of the events were evaluated, of which there were about "
        f"{scores.events / scores.share:,.0f} with history; the baselines learned from the sample"
    )


def _heads(heads: dict[str, float]) -> str:
    """A line on the heads' scores over the last events, where there are heads."""
    if not heads:
        return ""
    action, f1, log_likelihood, error_s, calibration = (figure(heads.get(name, float("nan"))) for name in HEADS)
    return (
        f"\nnext action {action} right, macro F1 {f1}; time to it: log-likelihood {log_likelihood}, "
        f"median error {error_s} s, raw calibration error {calibration} (times still running are missing, the long "
        "ones: corrected by `thalweg evaluate`)"
    )


def line(snapshot: Snapshot) -> str:
    """One line for a log: the bundle seen last."""
    latest = snapshot.latest
    if latest is None:
        return f"{snapshot.records:,} records, no evaluation events yet"
    metrics = latest.rolling.metrics
    estimated = "" if latest.rolling.share == 1 else f" (estimates, {latest.rolling.share:.2%} of all)"
    parts = [
        f"{LABELS[scorer]} R@20 {figure(metrics[scorer]['recall@20'])} MRR@20 {figure(metrics[scorer]['mrr@20'])}"
        for scorer in SCORERS
    ]
    return (
        f"{snapshot.records:,} records, {snapshot.lag:,} to go; last {latest.rolling.events:,}{estimated}: "
        + "; ".join(parts)
    )
