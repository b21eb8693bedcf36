"""The demo's report: recommendations for a few users, and one table of all results. Pure rendering."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from encoder.console import print_table
from streams.demo.formatting import SCORER_COLOURS, WIDTH, format_clock, format_ms
from streams.demo.results import DemoReport, UserRecommendations, VerificationSummary
from streams.monitor.scoring.window_counts import SCORERS
from streams.monitor.terminal_tables import SCORER_LABELS, format_score


def print_report(console: Console, report: DemoReport) -> None:
    """Print the users' recommendations, then the table of results."""
    for part in (recommendations_table(report.users), results_table(report)):
        print_table(console, part, WIDTH)


def recommendations_table(users: Sequence[UserRecommendations]) -> Table:
    """The last events of a few users beside what is recommended to each user."""
    table = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    table.add_column("user", no_wrap=True, style="dim")
    table.add_column("last events (latest first)", ratio=1)
    table.add_column("recommended now", ratio=1)
    for user in users:
        recent = Text("\n").join(Text.assemble((f"{action:<9}", "dim"), name) for action, name in user.recent)
        recommended = Text("\n").join(Text(name) for name in user.recommended)
        table.add_row(Text(user.user_id), recent, recommended, end_section=True)
    return table


def results_table(report: DemoReport) -> Table:
    progress, online = report.progress, report.online
    table = Table(box=box.ROUNDED, expand=True, show_header=False, border_style="bright_black")
    table.add_column(style="dim", width=26)
    table.add_column(ratio=1)
    outcomes = [(progress.applied, "applied"), (progress.already_applied, "already applied")]
    outcomes += [(progress.dead_letters, "dead letters"), (progress.erased, "erased")]
    table.add_row("records sent", f"{progress.sent:,}")
    table.add_row("", " + ".join(f"{count:,} {name}" for count, name in outcomes if count))
    table.add_row("throughput", f"{progress.events_per_s:,.0f} events/s")
    freshness = f"p50 {format_ms(progress.freshness_p50_ms)}, p99 {format_ms(progress.freshness_p99_ms)}"
    table.add_row("freshness, to row readable", freshness, end_section=True)
    for scorer in SCORERS:
        metrics = online.metrics[scorer]
        style = f"bold {SCORER_COLOURS[scorer]}" if scorer == "model" else ""
        values = f"Recall@20 {format_score(metrics['recall@20'])}   MRR@20 {format_score(metrics['mrr@20'])}"
        table.add_row(SCORER_LABELS[scorer], Text(values, style=style), end_section=scorer == SCORERS[-1])
    scored = f"{online.events:,} events, each before it was applied, over {progress.catalogue_items:,} items"
    table.add_row("scored", scored)
    table.add_row("verify", _verification_text(report.verification))
    table.add_row("elapsed", format_clock(progress.elapsed_s))
    return table


def _verification_text(verification: VerificationSummary) -> Text:
    is_within = verification.max_abs_diff <= verification.tolerance
    return Text(
        f"{verification.users:,} users, {verification.events:,} events: "
        f"max |difference| {verification.max_abs_diff:.1e}, "
        f"{'within' if is_within else 'OVER'} {verification.tolerance:.0e}",
        style="green" if is_within else "bold red",
    )
