"""What the page shows besides users, from records of the topics."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from streams.contracts.dead_letters import dead_letter, erasure_marker
from streams.contracts.metrics_events import MetricsEvent, SliceMetrics
from streams.serve.live import history
from streams.serve.live.freshness import source_place
from streams.serve.live.history import History, Status


def metrics(number: int, recall: float = 0.3) -> Any:
    event = MetricsEvent(
        id=f"gru-1-{number}",
        bundle_id="gru-1",
        window_start_ms=number,
        window_end_ms=number + 1,
        events=5,
        unknown_items=0,
        without_history=0,
        metrics={"model": {"recall@20": recall}, "frozen_1h": {"recall@20": None}},
        slices={"action=cart": SliceMetrics(events=3, metrics={})},
        predictions={"other": {"late": 2}},
    )
    return SimpleNamespace(value=msgspec.json.encode(event))


def letter(reason: str, field: str, time_ms: int = 1) -> Any:
    original = SimpleNamespace(
        key=b"carla", value=b"{}", topic="events", partition=0, offset=7, timestamp=1, headers=()
    )
    made = dead_letter(original, reason, field, 0)
    return SimpleNamespace(
        key=made.key, value=made.value, headers=made.headers, partition=0, offset=1, timestamp=time_ms
    )


def alarm(number: int, state: str, **fields: Any) -> Any:
    value = {
        "id": f"a{number}-{state}",
        "bundle_id": "gru-1",
        "name": "quality_drop",
        "state": state,
        "starts_at_ms": number,
        "value": 0.1,
        "expected": 0.3,
        "detail": "The margin fell.",
    }
    return SimpleNamespace(value=msgspec.json.encode({**value, "new_field": 1, **fields}))


def test_a_window_counts_once_and_systems_of_any_name_are_kept() -> None:
    found = History()
    assert [event.id for event in found.add_metrics([metrics(1), metrics(2)])] == ["gru-1-1", "gru-1-2"]
    assert [event.id for event in found.add_metrics([metrics(2, 0.9), metrics(3)])] == ["gru-1-3"]
    kept = found.snapshot()["metrics"]
    assert sorted(event.window_start_ms for event in kept) == [1, 2, 3]
    assert {event.metrics["model"]["recall@20"] for event in kept} == {0.3}
    assert "frozen_1h" in kept[0].metrics
    assert not any(event.slices or event.predictions for event in kept), "no page reads these"


def test_only_the_newest_windows_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "METRICS", 3)
    found = History()
    found.add_metrics([metrics(number) for number in range(3)])
    found.add_metrics([metrics(3)])
    assert {event.window_start_ms for event in found.snapshot()["metrics"]} == {1, 2, 3}


def test_the_last_state_of_an_alarm_counts_and_what_is_no_alarm_does_not() -> None:
    found = History()
    found.add_alarms(
        [alarm(1, "firing"), SimpleNamespace(value=None), SimpleNamespace(value=b"{}"), alarm(2, "firing")]
    )
    found.add_alarms([alarm(1, "resolved", ends_at_ms=9)])
    states = [(one.id, one.state, one.ends_at_ms) for one in found.snapshot()["alarms"]]
    assert states == [("a2-firing", "firing", None), ("a1-resolved", "resolved", 9)]


def test_dead_letters_are_counted_by_reason_without_the_values_of_their_records() -> None:
    found = History()
    records = [
        letter("user_id is 'carla': Expected `int`, got `str`", "user_id", 3),
        letter("user_id is 'dora': Expected `int`, got `str`", "user_id", 5),
        letter("event_time_ms is -1766745709030: Expected `int` >= 0", "event_time_ms", 4),
        SimpleNamespace(
            key=None, value=None, headers=erasure_marker("carla", 0, 1), partition=0, offset=2, timestamp=1
        ),
    ]
    table = found.add_letters(records)
    assert table == found.dead_letters()
    assert table is not None
    assert table["count"] == 3
    assert table["reasons"] == [
        {"field": "user_id", "reason": "user_id is …: Expected `int`, got `str`", "count": 2},
        {"field": "event_time_ms", "reason": "event_time_ms is …: Expected `int` >= 0", "count": 1},
    ]
    assert [one.time_ms for one in table["last"]] == [5, 4, 3]
    shown = msgspec.json.encode(found.snapshot()).decode()
    assert "carla" not in shown
    assert "dora" not in shown


def test_many_kinds_of_reasons_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "REASONS", 2)
    found = History()
    found.add_letters([letter(f"reason {number}", "value") for number in (1, 2, 3, 1, 4)])
    counts = {one["reason"]: one["count"] for one in found.dead_letters()["reasons"]}
    assert counts == {"reason 1": 2, "reason 2": 1, history.OTHER_REASONS: 2}


def test_records_without_a_letter_are_no_news() -> None:
    assert History().add_letters([]) is None


def test_a_snapshot_holds_the_last_events_once() -> None:
    found = History()
    for number in range(3):
        found.add_status(Status(time_ms=number, last=[{"id": str(number)}]))
    assert [(one.time_ms, one.last) for one in found.snapshot()["statuses"]] == [(0, []), (1, []), (2, [{"id": "2"}])]


@pytest.mark.parametrize(
    ("event_id", "place"),
    [
        ("my-events-0-3-42", ("my-events", 3, 42)),
        ("events-7-0-0", ("events", 0, 0)),
        ("events-3-42", None),
        ("nothing", None),
        ("events-0-3-x", None),
    ],
)
def test_an_id_of_an_event_says_where_its_record_is(event_id: str, place: tuple[str, int, int] | None) -> None:
    assert source_place(event_id) == place
