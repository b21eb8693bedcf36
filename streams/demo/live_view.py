"""The demo while it runs: redrawn in place in a terminal, and a line every few seconds elsewhere.

Pure rendering of Progress, which also holds the time that passed.
"""

from collections import deque
from collections.abc import Iterable
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streams.demo.formatting import SCORER_COLOURS, WIDTH, format_clock, format_ms
from streams.demo.results import Progress
from streams.monitor.scoring.window_counts import SCORERS
from streams.monitor.terminal_tables import SCORER_LABELS, format_score

LABEL_COLUMNS = (15, 14, 15)  # with the numbers 76 columns, which is what a frame of 80 columns holds
NUMBER_COLUMNS = 9  # 9,999,999
LIVE_COLUMNS = 80  # in a narrower terminal, numbers would be cut
PROGRESS_BAR_COLUMNS = 56
SPARKLINE_VALUES = 48
SPARKLINE_BARS = "▁▂▃▄▅▆▇█"
LINE_EVERY_S = 3.0


class LiveView:
    """Shows Progress while the `with` block lasts."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live: Live | None = None
        self._speeds: deque[float] = deque(maxlen=SPARKLINE_VALUES)
        self._line_s = -LINE_EVERY_S

    def __enter__(self) -> "LiveView":
        if self.console.is_terminal and self.console.width >= LIVE_COLUMNS:
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
            self._live.update(progress_panel(progress, self._speeds), refresh=True)
        elif progress.elapsed_s - self._line_s >= LINE_EVERY_S:
            self._line_s = progress.elapsed_s
            self.console.print(progress_line(progress), highlight=False, markup=False, soft_wrap=True)


def progress_panel(progress: Progress, speeds: Iterable[float]) -> RenderableType:
    """The live view, with a sparkline of the last speeds in events/s."""
    bar = ProgressBar(
        total=max(1, progress.total_records),
        completed=progress.sent,
        width=PROGRESS_BAR_COLUMNS,
        complete_style="bright_cyan",
    )
    sent = Table.grid(padding=(0, 2))
    sent.add_row(bar, Text(f"{progress.sent:,} of {progress.total_records:,} sent"))
    return Panel(
        Group(sent, Text(), _counts(progress), _speed(progress, speeds), Text(), _scores(progress)),
        title=f"[bold]Thalweg[/] {progress.stage}",
        subtitle=format_clock(progress.elapsed_s),
        title_align="left",
        subtitle_align="right",
        width=WIDTH,
        padding=(1, 1),
        border_style="bright_black",
    )


def progress_line(progress: Progress) -> str:
    """One line of text for a log."""
    parts = [
        f"{format_clock(progress.elapsed_s)} {progress.stage}: {progress.sent:,} sent, {progress.applied:,} applied",
        f"{progress.events_per_s:,.0f} events/s",
        f"lag {progress.lag:,}",
        f"freshness {format_ms(progress.freshness_p50_ms)} / {format_ms(progress.freshness_p99_ms)}",
        f"{progress.dead_letters:,} dead letters",
    ]
    if progress.rolling is not None and progress.rolling.events:
        metrics = progress.rolling.metrics
        scores = (f"{SCORER_LABELS[scorer]} {format_score(metrics[scorer]['recall@20'])}" for scorer in SCORERS)
        parts.append("Recall@20 " + ", ".join(scores))
    return "; ".join(parts)


def _counts(progress: Progress) -> RenderableType:
    dead_letter_style = "red" if progress.dead_letters else ""
    rows = [
        [
            ("applied", f"{progress.applied:,}", ""),
            ("  lag", f"{progress.lag:,}", ""),
            ("  freshness p50", format_ms(progress.freshness_p50_ms), ""),
        ],
        [
            ("already applied", f"{progress.already_applied:,}", ""),
            ("  dead letters", f"{progress.dead_letters:,}", dead_letter_style),
            ("  freshness p99", format_ms(progress.freshness_p99_ms), ""),
        ],
    ]
    grid = Table.grid(padding=(0, 1))
    for width in LABEL_COLUMNS:
        grid.add_column(width=width)
        grid.add_column(width=NUMBER_COLUMNS, justify="right")
    for row in rows:
        cells = [(Text(label, style="dim"), Text(value, style=style)) for label, value, style in row]
        grid.add_row(*(cell for pair in cells for cell in pair))
    return grid


def _speed(progress: Progress, speeds: Iterable[float]) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=LABEL_COLUMNS[0])
    grid.add_column(width=NUMBER_COLUMNS, justify="right")
    speed = Text(f"{progress.events_per_s:,.0f}", style="bold")
    grid.add_row(Text("events/s", style="dim"), speed, _sparkline(speeds))
    return grid


def _scores(progress: Progress) -> RenderableType:
    scores = progress.rolling
    if scores is None or not scores.events:
        return Text("no user has a second event yet", style="dim")
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False, header_style="dim", expand=True)
    grid.add_column(f"next item among {progress.catalogue_items:,}", no_wrap=True)
    grid.add_column("", ratio=1)
    grid.add_column("Recall@20", justify="right")
    grid.add_column("MRR@20", justify="right")
    best = max(scores.metrics[scorer]["recall@20"] for scorer in SCORERS)
    for scorer in SCORERS:
        recall, mrr = scores.metrics[scorer]["recall@20"], scores.metrics[scorer]["mrr@20"]
        style = f"bold {SCORER_COLOURS[scorer]}" if scorer == "model" else SCORER_COLOURS[scorer]
        bar = ProgressBar(total=best or 1.0, completed=recall, complete_style=style, finished_style=style)
        cells = [Text(format_score(recall), style=style), Text(format_score(mrr), style=style)]
        grid.add_row(Text(SCORER_LABELS[scorer], style=style), bar, *cells)
    note = f"last {scores.events:,} events of users with history, each ranked before it was applied"
    return Group(grid, Text(note, style="dim"))


def _sparkline(values: Iterable[float]) -> Text:
    heights = list(values)
    top = max(heights, default=0.0) or 1.0
    bars = (SPARKLINE_BARS[min(7, int(height / top * 7.99))] for height in heights)
    return Text("".join(bars), style="bright_cyan")
