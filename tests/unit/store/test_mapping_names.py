"""A mapping is known by its rules, and not by the name of its file."""

import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from streams.config.errors import SettingsError
from streams.store.registry import Registry

OLD, RENAMED, OTHER = "tracking-509730a5402dff40", "my-shop-509730a5402dff40", "tracking-0000000000000000"


class Entered:
    """A session whose table of mappings has these names."""

    def __init__(self, *names: str) -> None:
        self._rows = [(name, datetime(2026, 11, day, tzinfo=UTC)) for day, name in enumerate(names, 1)]

    def execute(self, _: str, query: str, __: Any = None) -> list[tuple[str, datetime]]:
        return self._rows if query.startswith("SELECT") else []


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
