"""The demo's report at several widths, and in words that are not markup."""

import pytest

from streams.demo.report_tables import print_report
from streams.demo.results import DemoReport, UserRecommendations, VerificationSummary
from tests.support.monitoring.demo_results import PROGRESS, SCORES, plain_console, shown


def report(users: list[UserRecommendations], max_abs_diff: float = 0.0) -> DemoReport:
    verification = VerificationSummary(users=10_000, events=1_000_000, max_abs_diff=max_abs_diff, tolerance=1e-5)
    return DemoReport(progress=PROGRESS, online=SCORES, verification=verification, users=users)


def without_frames(text: str) -> str:
    """The words of a text with single spaces, also of words that the table put on a second line."""
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize(("width", "shown_width"), [(80, 80), (100, 100), (200, 100)])
def test_the_report_is_complete_at_any_usual_width(width: int, shown_width: int) -> None:
    names = [f"Lamp of Brass {n}" for n in range(3)]
    users = [UserRecommendations(user_id="u1", recent=[("purchase", name) for name in names], recommended=names)]
    console = plain_console(terminal=True, width=width)
    print_report(console, report(users))
    text = shown(console)
    assert max(map(len, text.splitlines())) == shown_width
    assert text.count("\n│") == sum(line.endswith("│") for line in text.splitlines())
    words = without_frames(text)
    for part in ("400 dead letters", "over 5,000 items", "within 1e-05", "Recall@20 0.4000 MRR@20 0.1000", *names):
        assert part in words


def test_the_report_shows_markup_as_text_and_says_that_the_verification_failed() -> None:
    users = [UserRecommendations(user_id="u[b]", recent=[("view", "Lamp [bold] 3")], recommended=["Tray"])]
    console = plain_console(terminal=False)
    print_report(console, report(users, max_abs_diff=0.5))
    text = without_frames(shown(console))
    assert "Lamp [bold] 3" in text
    assert "u[b]" in text
    assert "OVER 1e-05" in text
    assert "499,000 applied + 600 already applied + 400 dead letters" in text
