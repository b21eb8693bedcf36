"""A mapping is known by its rules, and not by the name of its file."""

import json
import logging
from datetime import datetime, timedelta
from typing import Any

import pytest

from streams.config.errors import SettingsError
from streams.store.registry import Registry

OLD, RENAMED, OTHER = "tracking-509730a5402dff40", "my-shop-509730a5402dff40", "tracking-0000000000000000"


class Entered:
    """A session whose table of mappings has these names, as an earlier version has entered them."""

    def __init__(self, *names: str) -> None:
        self._rows = {name: {"first_used_at": f"2026-10-0{day} 08:00:00.000Z"} for day, name in enumerate(names, 1)}

    def execute(self, _: str, query: str, values: Any) -> list[tuple[str]]:
        if query.startswith("SELECT JSON *"):
            return [(json.dumps({"name": name, **row}),) for name, row in self._rows.items()]
        column, (at, _, name) = "first_used_at" if query.startswith("INSERT") else "last_used_at", values
        self._rows.setdefault(name, {})[column] = at.isoformat(" ")
        return []


def registry(*names: str) -> Registry:
    session: Any = Entered(*names)
    return Registry(session, "thalweg")


def test_a_renamed_file_is_the_mapping_of_the_workers() -> None:
    assert registry(OLD).check_mapping("gru", RENAMED) == [OLD]
    assert len(registry(OLD, RENAMED).check_mapping("gru", OLD)) == 1


def test_other_rules_are_refused_with_both_names() -> None:
    with pytest.raises(SettingsError, match=f"{OLD}.*{OTHER}"):
        registry(OLD).check_mapping("gru", OTHER)
    with pytest.raises(SettingsError, match=f"{OLD}.*the event contract"):
        registry(OLD).check_mapping("gru", "the event contract")


def test_a_worker_warns_of_other_rules_alone(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        registry(OLD).use_mapping("gru", RENAMED)
        assert not caplog.records
        registry(OLD).use_mapping("gru", OTHER)
    assert OLD in caplog.text
    assert OTHER in caplog.text


def test_the_mapping_of_the_last_start_is_the_last_one() -> None:
    """A worker went back to the earlier mapping, by which the bundle's events are read now."""
    entered = registry(OLD, OTHER)
    assert entered.mappings("gru") == [OLD, OTHER]
    entered.use_mapping("gru", OLD)
    assert entered.mappings("gru") == [OTHER, OLD]
    entered.use_mapping("gru", "the event contract")
    assert entered.mappings("gru") == [OTHER, OLD, "the event contract"]


def test_the_last_start_comes_last_where_the_clock_of_an_earlier_worker_is_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entered, ahead = registry(OLD), timedelta(minutes=5)
    clock = SetClock(ahead)
    monkeypatch.setattr("streams.store.registry.datetime", clock)
    entered.use_mapping("gru", OTHER)
    clock.ahead = timedelta()
    entered.use_mapping("gru", OLD)
    assert entered.mappings("gru") == [OTHER, OLD]
    entered.use_mapping("gru", "the event contract")
    assert entered.mappings("gru") == [OTHER, OLD, "the event contract"]


class SetClock:
    """Stands for `datetime` with the clock of another machine."""

    fromisoformat = staticmethod(datetime.fromisoformat)

    def __init__(self, ahead: timedelta) -> None:
        self.ahead = ahead

    def now(self, zone: Any) -> datetime:
        return datetime.now(zone) + self.ahead
