"""The history of switches has their order, also where the clocks of two machines differ."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streams.store.bundles import aliases
from streams.store.bundles.aliases import Aliases, Switch, before_of

NOW = datetime(2026, 11, 30, 1, 0, tzinfo=UTC)


class Session:
    """Stands for Cassandra, and keeps the time of the last switch."""

    switched_at: datetime

    def execute(self, _: str, statement: str, values: list[Any]) -> list[Any]:
        if not statement.startswith("UPDATE"):
            return []
        self.switched_at = values[3]
        return [(True,)]


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "datetime":
            return NOW

    monkeypatch.setattr(aliases, "datetime", Clock)


@pytest.mark.parametrize("ahead", [timedelta(minutes=10), timedelta(0), -timedelta(minutes=10)])
def test_a_switch_comes_after_the_switch_that_its_command_has_seen(ahead: timedelta) -> None:
    session: Any = Session()
    seen = Switch(bundle_id="B", replaced="A", before="A", switched_at=(NOW + ahead).isoformat(), command="promote")
    Aliases(session, "shop").switch("C", seen, "promote", False, {}, "B")
    at = session.switched_at
    assert at - NOW == max(timedelta(0), ahead + timedelta(milliseconds=1))
    last = Switch(bundle_id="C", replaced="B", before="B", switched_at=at.isoformat(), command="promote")
    history = sorted([seen, last], key=lambda one: datetime.fromisoformat(str(one.switched_at)), reverse=True)
    assert before_of(history, "B") == "A"


def test_the_first_switch_has_the_present_time() -> None:
    session: Any = Session()
    Aliases(session, "shop").switch("B", Switch(bundle_id="A"), "promote", False, {}, "A")
    assert session.switched_at == NOW
