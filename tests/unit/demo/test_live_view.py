"""The demo while it runs: at 80 and 100 columns, and without a terminal."""

import msgspec
import pytest

from streams.demo.live_view import LiveView, progress_line, progress_panel
from streams.monitor.scoring.scores import Scores
from tests.support.monitoring.demo_results import PROGRESS, SCORES, plain_console, shown


@pytest.mark.parametrize("width", [80, 100])
def test_the_live_view_shows_every_number(width: int) -> None:
    console = plain_console(terminal=True, width=width)
    console.print(progress_panel(PROGRESS, [1.0, 2.0, 3.0]))
    lines = shown(console).splitlines()
    assert {len(text) for text in lines} == {width}
    assert len(lines) == 15, "a text is longer than its line"
    for text in ("500,000 of 1,000,000", "499,000", "600", "400", "12,345", "23,457", "9.9 ms", "1,234 ms", "1:02"):
        assert any(text in line for line in lines), text
    assert sum("0.4000" in line and "0.1000" in line for line in lines) == 1


@pytest.mark.parametrize("scores", [None, msgspec.structs.replace(SCORES, events=0)])
def test_the_live_view_says_that_there_are_no_scores_yet(scores: Scores | None) -> None:
    early = msgspec.structs.replace(
        PROGRESS, rolling=scores, freshness_p50_ms=None, freshness_p99_ms=None, total_records=0
    )
    console = plain_console(terminal=True)
    console.print(progress_panel(early, []))
    assert "no user has a second event yet" in shown(console)
    assert "freshness - / -" in progress_line(early)


def test_without_a_terminal_a_line_is_printed_every_three_seconds() -> None:
    console = plain_console(terminal=False)
    with LiveView(console) as view:
        for tenths in range(100):
            view.update(msgspec.structs.replace(PROGRESS, elapsed_s=tenths / 10))
    lines = shown(console).splitlines()
    assert [text.split()[0] for text in lines] == ["0:00", "0:03", "0:06", "0:09"]
    assert "Recall@20 model 0.4000, popularity so far 0.2000" in lines[0]
