"""Which alarm events are new: a monitor that reads events again tells nothing twice."""

import msgspec

from streams.contracts.alarm_events import AlarmEvent, alarm_id
from streams.monitor.drift.alarm_log import AlarmLog


def alarm(state: str, starts_at_ms: int, ends_at_ms: int | None = None, name: str = "gaps") -> AlarmEvent:
    return AlarmEvent(
        id=alarm_id("gru-1", name, "all", starts_at_ms, state),
        bundle_id="gru-1",
        name=name,
        state="firing" if state == "firing" else "resolved",
        starts_at_ms=starts_at_ms,
        ends_at_ms=ends_at_ms,
        value=1.0,
        expected=2.0,
        detail="x",
    )


def published(log: AlarmLog, events: list[AlarmEvent]) -> list[AlarmEvent]:
    told = []
    for event in events:
        if (new := log.new(event)) is not None:
            log.note(new)
            told.append(new)
    return told


HISTORY = [alarm("firing", 100), alarm("resolved", 100, 200), alarm("firing", 300)]


def test_the_same_alarms_again_are_not_new() -> None:
    log = AlarmLog()
    assert published(log, HISTORY) == HISTORY
    assert published(log, HISTORY) == []
    assert log.firing() == [HISTORY[2]]


def test_alarms_that_are_found_a_block_earlier_or_later_are_not_new() -> None:
    log = AlarmLog()
    published(log, HISTORY)
    for shift in (-5, 5):
        moved = [
            msgspec.structs.replace(
                event,
                starts_at_ms=event.starts_at_ms + shift,
                ends_at_ms=None if event.ends_at_ms is None else event.ends_at_ms + shift,
            )
            for event in HISTORY
        ]
        assert published(log, moved) == []


def test_the_end_of_an_alarm_has_the_start_that_was_published() -> None:
    log = AlarmLog()
    published(log, HISTORY)
    [end] = published(log, [alarm("resolved", 305, 400)])
    assert (end.starts_at_ms, end.ends_at_ms) == (300, 400)
    assert end.id == "gru-1-gaps-all-300-resolved"
    assert log.firing() == []
    assert log.resolved_since(400) == [end]
    assert log.resolved_since(401) == []


def test_an_alarm_that_the_figures_do_not_know_ends() -> None:
    log = AlarmLog()
    published(log, HISTORY)
    assert log.forgotten({"gru-1": {}}, 500) == [], "the figure is still being learned"
    assert log.forgotten({"gru-1": {"gaps/all": True}}, 500) == []
    [end] = log.forgotten({"gru-1": {"gaps/all": False}}, 500)
    assert published(log, [end]) == [end]
    assert log.firing() == []


def test_an_alarm_of_a_bundle_without_figures_ends() -> None:
    log = AlarmLog()
    published(log, HISTORY)
    [end] = published(log, log.forgotten({"gru-2": {}}, 500))
    assert (end.state, end.bundle_id, end.ends_at_ms) == ("resolved", "gru-1", 500)
    assert "no events of this bundle" in end.detail
    assert log.firing() == []
