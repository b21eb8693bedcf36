"""The demo as one sees it: a live view in a terminal, a line every few seconds elsewhere, and the report at the end.

Pure rendering of the structs below; the time that passed comes with them.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from types import TracebackType

import msgspec
from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streams.monitor.scoring.scores import Scores
from streams.monitor.scoring.window_counts import SCORERS
from streams.monitor.terminal_tables import SCORER_LABELS, format_score

WIDTH = 100  # at most; everything fits into 80 as well
NUMBER = 9  # columns of a number in the live view: 9,999,999
LINE_EVERY_S = 3.0
COLOURS = {"model": "bright_cyan", "popularity": "yellow", "last_item": "magenta"}
SPARKS = "▁▂▃▄▅▆▇█"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The running demo at one moment."""

    stage: str  # what is going on, e.g. "streaming"
    elapsed_s: float
    events: int  # records that the replay will send
    sent: int
    applied: int
    already_applied: int
    dead_letters: int
    erased: int = 0  # erasures
    events_per_s: float
    lag: int  # records in the behaviour topic that are not committed
    freshness_p50_ms: float | None = None  # event produced -> row readable
    freshness_p99_ms: float | None = None
    rolling: Scores | None = None  # over the last events
    catalogue: int = 0  # items ranked


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    users: int
    events: int
    max_abs_diff: float
    tolerance: float


class UserStory(msgspec.Struct, frozen=True, kw_only=True):
    """A user's last events, the latest first, and what the live representation recommends now."""

    user_id: str
    recent: Sequence[tuple[str, str]]  # (action, item name)
    recommended: Sequence[str]  # item names, best first


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The demo's result."""

    progress: Progress
    online: Scores  # over everything that was scored
    verified: Verified
    users: Sequence[UserStory]


class DemoView:
    """Shows Progress while the block lasts. In a terminal it redraws in place; elsewhere it prints lines."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._live: Live | None = None
        self._speeds: deque[float] = deque(maxlen=48)
        self._line_s = -LINE_EVERY_S

    def __enter__(self) -> "DemoView":
        if self.console.is_terminal:
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, progress: Progress) -> None:
        self._speeds.append(progress.events_per_s)
        if self._live is not None:
            self._live.update(render(progress, self._speeds), refresh=True)
        elif progress.elapsed_s - self._line_s >= LINE_EVERY_S:
            self._line_s = progress.elapsed_s
            self.console.print(line(progress), highlight=False, markup=False, soft_wrap=True)

    def report(self, report: Report) -> None:
        """Print users' stories, then the one table."""
        for part in (stories(report.users), table(report)):
            self.console.print(part, width=WIDTH)


def render(progress: Progress, speeds: Iterable[float]) -> RenderableType:
    """The live view."""
    share = Table.grid(padding=(0, 2))
    share.add_row(
        ProgressBar(total=max(1, progress.events), completed=progress.sent, width=56, complete_style="bright_cyan"),
        Text(f"{progress.sent:,} of {progress.events:,} sent"),
    )
    return Panel(
        Group(share, Text(), _numbers(progress, speeds), Text(), _quality(progress)),
        title=f"[bold]Thalweg[/] {progress.stage}",
        subtitle=_clock(progress.elapsed_s),
        title_align="left",
        subtitle_align="right",
        width=WIDTH,
        padding=(1, 1),
        border_style="bright_black",
    )


def _numbers(progress: Progress, speeds: Iterable[float]) -> RenderableType:
    dead_style = "red" if progress.dead_letters else ""
    grid = Table.grid(padding=(0, 1))
    for width in (15, 14, 15):  # 76 columns with the numbers, what 80 leave within the frame
        grid.add_column(width=width)
        grid.add_column(width=NUMBER, justify="right")
    rows = [
        [
            ("applied", f"{progress.applied:,}", ""),
            ("  lag", f"{progress.lag:,}", ""),
            ("  freshness p50", _ms(progress.freshness_p50_ms), ""),
        ],
        [
            ("already applied", f"{progress.already_applied:,}", ""),
            ("  dead letters", f"{progress.dead_letters:,}", dead_style),
            ("  freshness p99", _ms(progress.freshness_p99_ms), ""),
        ],
    ]
    for row in rows:
        grid.add_row(
            *(text for name, value, style in row for text in (Text(name, style="dim"), Text(value, style=style)))
        )
    speed = Table.grid(padding=(0, 1))
    speed.add_column(width=15)
    speed.add_column(width=NUMBER, justify="right")
    speed.add_row(Text("events/s", style="dim"), Text(f"{progress.events_per_s:,.0f}", style="bold"), _spark(speeds))
    return Group(grid, speed)


def _quality(progress: Progress) -> RenderableType:
    scores = progress.rolling
    if scores is None or not scores.events:
        return Text("no user has a second event yet", style="dim")
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False, header_style="dim", expand=True)
    grid.add_column(f"the next item among {progress.catalogue:,}", no_wrap=True)
    grid.add_column("", ratio=1)
    grid.add_column("Recall@20", justify="right")
    grid.add_column("MRR@20", justify="right")
    best = max(scores.metrics[scorer]["recall@20"] for scorer in SCORERS)
    for scorer in SCORERS:
        recall, mrr = scores.metrics[scorer]["recall@20"], scores.metrics[scorer]["mrr@20"]
        style = f"bold {COLOURS[scorer]}" if scorer == "model" else COLOURS[scorer]
        bar = ProgressBar(total=best or 1.0, completed=recall, complete_style=style, finished_style=style)
        grid.add_row(
            Text(SCORER_LABELS[scorer], style=style),
            bar,
            Text(format_score(recall), style=style),
            Text(format_score(mrr), style=style),
        )
    note = Text(f"each ranked before it is applied; last {scores.events:,} events of users with history", style="dim")
    return Group(grid, note)


def line(progress: Progress) -> str:
    """One line of text for a log."""
    parts = [
        f"{_clock(progress.elapsed_s)} {progress.stage}: {progress.sent:,} sent, {progress.applied:,} applied",
        f"{progress.events_per_s:,.0f} events/s",
        f"lag {progress.lag:,}",
        f"freshness {_ms(progress.freshness_p50_ms)} / {_ms(progress.freshness_p99_ms)}",
        f"{progress.dead_letters:,} dead letters",
    ]
    if progress.rolling is not None and progress.rolling.events:
        metrics = progress.rolling.metrics
        parts.append(
            "Recall@20 " + ", ".join(f"{SCORER_LABELS[s]} {format_score(metrics[s]['recall@20'])}" for s in SCORERS)
        )
    return "; ".join(parts)


def stories(users: Sequence[UserStory]) -> RenderableType:
    """What a few users did last, beside what is recommended to them."""
    shown = Table(box=box.SIMPLE_HEAD, expand=True, pad_edge=False)
    shown.add_column("user", no_wrap=True, style="dim")
    shown.add_column("did last (latest first)", ratio=1)
    shown.add_column("is recommended now", ratio=1)
    for user in users:
        recent = Text("\n").join(Text.assemble((f"{action:<9}", "dim"), name) for action, name in user.recent)
        shown.add_row(
            Text(user.user_id), recent, Text("\n").join(Text(name) for name in user.recommended), end_section=True
        )
    return shown


def table(report: Report) -> Table:
    """The one table at the end."""
    progress, online, verified = report.progress, report.online, report.verified
    shown = Table(box=box.ROUNDED, expand=True, show_header=False, border_style="bright_black")
    shown.add_column(style="dim", width=26)
    shown.add_column(ratio=1)
    good = verified.max_abs_diff <= verified.tolerance
    outcomes = [(progress.applied, "applied"), (progress.already_applied, "already applied")]
    outcomes += [(progress.dead_letters, "dead letters"), (progress.erased, "erased")]
    shown.add_row("records sent", f"{progress.sent:,}")
    shown.add_row("", " + ".join(f"{count:,} {name}" for count, name in outcomes if count))
    shown.add_row("throughput", f"{progress.events_per_s:,.0f} events/s")
    shown.add_row(
        "freshness, to row readable",
        f"p50 {_ms(progress.freshness_p50_ms)}, p99 {_ms(progress.freshness_p99_ms)}",
        end_section=True,
    )
    for scorer in SCORERS:
        metrics = online.metrics[scorer]
        style = f"bold {COLOURS[scorer]}" if scorer == "model" else ""
        values = f"Recall@20 {format_score(metrics['recall@20'])}   MRR@20 {format_score(metrics['mrr@20'])}"
        shown.add_row(SCORER_LABELS[scorer], Text(values, style=style), end_section=scorer == SCORERS[-1])
    shown.add_row("scored", f"{online.events:,} events, each before it was applied, over {progress.catalogue:,} items")
    shown.add_row(
        "verify",
        Text(
            f"{verified.users:,} users, {verified.events:,} events: max |difference| {verified.max_abs_diff:.1e}, "
            f"{'within' if good else 'OVER'} {verified.tolerance:.0e}",
            style="green" if good else "bold red",
        ),
    )
    shown.add_row("elapsed", _clock(progress.elapsed_s))
    return shown


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f} ms" if value < 10 else f"{value:,.0f} ms"


def _spark(values: Iterable[float]) -> Text:
    shown = list(values)
    top = max(shown, default=0.0) or 1.0
    return Text("".join(SPARKS[min(7, int(value / top * 7.99))] for value in shown), style="bright_cyan")
