"""What the demo shows, at 80 and 100 columns and where there is no terminal."""

import io

import msgspec
import pytest
from rich.console import Console

from streams.demo.view import DemoView, Progress, Report, UserStory, Verified, line, render
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
    events=1_000_000,
    sent=500_000,
    applied=499_000,
    already_applied=600,
    dead_letters=400,
    events_per_s=23_456.7,
    lag=12_345,
    freshness_p50_ms=9.87,
    freshness_p99_ms=1234.0,
    rolling=SCORES,
    catalogue=5_000,
)


def shown(view: DemoView) -> str:
    assert isinstance(view.console.file, io.StringIO)
    return view.console.file.getvalue()


def console(terminal: bool, width: int = 100) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)


@pytest.mark.parametrize("width", [80, 100])
def test_the_live_view_shows_every_number(width: int) -> None:
    view = DemoView(console(terminal=True, width=width))
    view.console.print(render(PROGRESS, [1.0, 2.0, 3.0]))
    lines = shown(view).splitlines()
    assert {len(text) for text in lines} == {width}
    assert len(lines) == 15  # nothing wraps
    for text in ("500,000 of 1,000,000", "499,000", "600", "400", "12,345", "23,457", "9.9 ms", "1,234 ms", "1:02"):
        assert any(text in one for one in lines), text
    assert sum("0.4000" in one and "0.1000" in one for one in lines) == 1


@pytest.mark.parametrize("scores", [None, msgspec.structs.replace(SCORES, events=0)])
def test_before_the_first_scores_and_freshness_there_is_still_something_to_see(scores: Scores | None) -> None:
    early = msgspec.structs.replace(PROGRESS, rolling=scores, freshness_p50_ms=None, freshness_p99_ms=None, events=0)
    view = DemoView(console(terminal=True))
    view.console.print(render(early, []))
    assert "no user has a second event yet" in shown(view)
    assert "freshness - / -" in line(early)


def test_without_a_terminal_it_prints_a_line_every_three_seconds() -> None:
    with DemoView(console(terminal=False)) as view:
        for tenths in range(100):
            view.update(msgspec.structs.replace(PROGRESS, elapsed_s=tenths / 10))
    lines = shown(view).splitlines()
    assert [text.split()[0] for text in lines] == ["0:00", "0:03", "0:06", "0:09"]
    assert "Recall@20 model 0.4000, popularity so far 0.2000" in lines[0]


@pytest.mark.parametrize(("width", "shown_width"), [(80, 80), (100, 100), (200, 100)])
def test_the_report_is_whole_at_any_usual_width(width: int, shown_width: int) -> None:
    names = [f"Lamp of Brass {n}" for n in range(3)]
    users = [UserStory(user_id="u1", recent=[("purchase", name) for name in names], recommended=names)]
    verified = Verified(users=10_000, events=1_000_000, max_abs_diff=0.0, tolerance=1e-5)
    view = DemoView(console(terminal=True, width=width))
    view.report(Report(progress=PROGRESS, online=SCORES, verified=verified, users=users))
    text = shown(view)
    assert max(map(len, text.splitlines())) == shown_width
    assert text.count("\n│") == sum(line.endswith("│") for line in text.splitlines())
    words = " ".join(text.replace("│", " ").split())
    for whole in ("400 dead letters", "over 5,000 items", "within 1e-05", "Recall@20 0.4000 MRR@20 0.1000", *names):
        assert whole in words


def test_the_report_escapes_nothing_and_says_where_verify_failed() -> None:
    users = [UserStory(user_id="u[b]", recent=[("view", "Lamp [bold] 3")], recommended=["Tray"])]
    verified = Verified(users=10, events=100, max_abs_diff=0.5, tolerance=1e-5)
    view = DemoView(console(terminal=False))
    view.report(Report(progress=PROGRESS, online=SCORES, verified=verified, users=users))
    text = shown(view)
    assert "Lamp [bold] 3" in text
    assert "u[b]" in text
    assert "OVER 1e-05" in text
    assert "499,000 applied + 600 already applied + 400 dead letters" in text
