"""The monitor's numbers as tables for a terminal, and as one line of text for a log. Pure rendering."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from encoder.console import uncut
from streams.contracts.comparisons import BundleComparison
from streams.monitor.exposition import HEAD_METRICS
from streams.monitor.scoring.scores import BundleScores, Scores, Snapshot
from streams.monitor.scoring.window_counts import CUTOFFS, SCORERS

TABLE_COLUMNS = 80  # a narrower terminal has no room for all figures side by side
SCORER_LABELS = {"model": "model", "popularity": "popularity so far", "last_item": "after the last item"}
METRIC_LABELS = {"recall": "Recall", "mrr": "MRR", "ndcg": "NDCG"}


def format_score(value: float) -> str:
    """Four decimals; a dash for not-a-number."""
    return "-" if value != value else f"{value:.4f}"


def snapshot_tables(snapshot: Snapshot) -> RenderableType:
    """One table for each bundle, the bundle of the latest event first, and some lines for each pair of bundles."""
    parts: list[RenderableType] = [_record_counts(snapshot)]
    parts += [_bundle_table(bundle_id, scores) for bundle_id, scores in reversed(snapshot.bundles.items())]
    parts += [Text(_pair_text(pair)) for pair in snapshot.comparisons]
    return Group(*parts)


def snapshot_line(snapshot: Snapshot) -> str:
    """One line for a log: each bundle by its id, the bundle of the latest event first, and each pair of bundles."""
    if snapshot.latest is None:
        return f"{snapshot.read:,} records read, no evaluation events yet"
    parts = [_bundle_line(bundle_id, scores.rolling) for bundle_id, scores in reversed(snapshot.bundles.items())]
    return f"{snapshot.read:,} records read, {snapshot.lag:,} left to read; " + "; ".join(
        [*parts, *map(_difference, snapshot.comparisons)]
    )


def _bundle_line(bundle_id: str, rolling: Scores) -> str:
    estimated = "" if rolling.share == 1 else f" (estimates from {rolling.share:.2%} of all events)"
    parts = [
        f"{SCORER_LABELS[scorer]} R@20 {format_score(rolling.metrics[scorer]['recall@20'])} "
        f"MRR@20 {format_score(rolling.metrics[scorer]['mrr@20'])}"
        for scorer in SCORERS
    ]
    return f"{bundle_id}, last {rolling.events:,} events{estimated}: {', '.join(parts)}"


def _record_counts(snapshot: Snapshot) -> Text:
    text = Text(f"{snapshot.read:,} records read, {snapshot.lag:,} left to read")
    if snapshot.undecodable:
        text.append(f", {snapshot.undecodable:,} undecodable: {snapshot.problem}", style="red")
    return text


def _bundle_table(bundle_id: str, scores: BundleScores) -> Table:
    rolling, cumulative = scores.rolling, scores.cumulative
    table = Table(
        title=bundle_id,
        caption=_counts_caption(scores)
        + _sample_caption(cumulative)
        + _heads_caption(rolling.heads)
        + _comparison_caption(scores.hour)
        + _alarms_caption(scores),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("")
    for k in CUTOFFS:
        for label in METRIC_LABELS.values():
            table.add_column(f"{label}@{k}", justify="right")
    for title, window in ((f"last {rolling.events:,}", rolling), (f"all {cumulative.events:,}", cumulative)):
        table.add_row(title, style="dim")
        for scorer in SCORERS:
            values = window.metrics[scorer]
            cells = [format_score(values[f"{name}@{k}"]) for k in CUTOFFS for name in METRIC_LABELS]
            table.add_row(f"  {SCORER_LABELS[scorer]}", *cells, style="bold" if scorer == "model" else "")
    return uncut(table)


def _counts_caption(scores: BundleScores) -> str:
    cumulative = scores.cumulative
    unknown_share = cumulative.unknown_items / cumulative.events if cumulative.events else 0.0
    return (
        f"{cumulative.events:,} events of users with history, {unknown_share:.1%} of them with an item outside the "
        f"catalogue; {cumulative.without_history:,} first events; {scores.duplicates:,} duplicates"
    )


def _sample_caption(scores: Scores) -> str:
    """A line about the sample when the scores are estimates."""
    if scores.share == 1:
        return ""
    return (
        f"\nThe scores are estimates: {scores.share:.2%} of the events were evaluated. About "
        f"{scores.events / scores.share:,.0f} events had a user with history. The baselines learned from the sample."
    )


def _heads_caption(heads: dict[str, float]) -> str:
    """A line about the heads' scores over the last events when the bundle has heads."""
    if not heads:
        return ""
    accuracy, f1, log_likelihood, error_s, calibration = (
        format_score(heads.get(name, float("nan"))) for name in HEAD_METRICS
    )
    return (
        f"\nNext action: accuracy {accuracy}, macro F1 {f1}. Time to the next event: log-likelihood {log_likelihood}, "
        f"median error {error_s} s, raw calibration error {calibration}. The raw calibration error lacks the gaps that "
        "have not ended yet, which are long; `thalweg evaluate` corrects for these gaps."
    )


def _comparison_caption(hour: Scores) -> str:
    """A line for each scorer that was scored on a part of the last hour's events, beside the model on these events."""
    lines = []
    for name, compared in hour.compared.items():
        model, other = compared.model["mrr@20"], hour.metrics[name]["mrr@20"]
        distance = "" if compared.distance is None else f"; the vectors are {compared.distance:.3f} apart (cosine)"
        lines.append(
            f"\nLast hour, {compared.events:,} events with {name}: MRR@20 {format_score(other)}, the model "
            f"{format_score(float('nan') if model is None else model)}{distance}."
        )
    return "".join(lines)


def _alarms_caption(scores: BundleScores) -> str:
    """A line about the alarms that fire."""
    firing = [key.removesuffix("/all").replace("/", " of ") for key, fires in scores.alarms.items() if fires]
    return f"\nALARM: {', '.join(firing)}." if firing else ""


def _difference(pair: BundleComparison) -> str:
    """The difference of a pair with its interval, in one line."""
    if pair.mean_difference is None:
        return f"{pair.challenger} minus {pair.champion}: no event counts yet"
    return (
        f"{pair.challenger} minus {pair.champion}: MRR@20 {pair.mean_difference:+.4f} "
        f"({pair.low:+.4f} to {pair.high:+.4f})"
    )


def _pair_text(pair: BundleComparison) -> str:
    """A pair: the difference, what it is made of, and the slices whose interval lies on one side of 0."""
    text = (
        f"\n{_difference(pair)}, at every look with {pair.level:.0%}\n"
        f"  {pair.events:,} events of about {pair.users:,} users in {pair.user_blocks:,} blocks, {pair.open_events:,} "
        f"events in blocks that are not over, {pair.unmatched_events:,} events of one bundle alone\n"
    )
    for name, part in pair.slices.items():
        if part.low > 0 or part.high < 0:
            text += f"  {name}: {part.mean_difference:+.4f} ({part.low:+.4f} to {part.high:+.4f})\n"
    return text
