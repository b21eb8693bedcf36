"""What the questions about a user say where the bundle or the request does not allow an answer."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from export.exporter import export_model
from tests.support.bundles import tiny_model, vocabulary_of
from tests.tools.serving import application, ask


@pytest.mark.parametrize("question", ["churn?days=7", "next"])
def test_a_bundle_without_heads_says_how_to_get_heads(tmp_path: Path, question: str) -> None:
    bundle = export_model(tiny_model(20, is_whole=False), vocabulary_of([f"i{i}" for i in range(20)]), tmp_path / "b")
    model = SimpleNamespace(bundle=bundle, bundle_id=bundle.bundle_id)
    answer = ask(application(current=lambda: model), "GET", f"/v1/users/u/{question}")
    assert (answer.status_code, answer.json()["type"]) == (404, "no-heads")
    assert bundle.bundle_id in answer.json()["detail"]


@pytest.mark.parametrize("days", ["0", "-1", "nan", "inf", "1e9", "x", ""])
def test_days_that_are_no_length_of_time_are_refused(days: str) -> None:
    answer = ask(application(), "GET", f"/v1/users/u/churn?days={days}")
    assert (answer.status_code, "query.days" in answer.json()["detail"]) == (422, True)


def test_a_session_of_more_events_than_are_allowed_is_refused() -> None:
    event = {"item_id": "i", "action": "view", "event_time_ms": 1}
    answer = ask(application(), "POST", "/v1/explanation", json={"events": [event] * 1_001})
    assert (answer.status_code, "body.events" in answer.json()["detail"]) == (422, True)
