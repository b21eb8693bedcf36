"""Which bundle `thalweg shadow` makes the challenger."""

from collections.abc import Callable
from typing import Any

import pytest

from streams.config.errors import InputError
from streams.config.settings import Settings
from streams.store.bundles.aliases import Switch
from streams.store.registry import BundleRecord
from streams.supervisor import shadow

OLD, NEW, OTHER = "gru-0f3a5c7e9b1d", "gru-aaaaaaaaaaaa", "gru-bbbbbbbbbbbb"


class Keyspace:
    """Stands for the session, the aliases and the registry of a keyspace."""

    def __init__(self, active: str, challenger: str | None, *known: str) -> None:
        self.active_id, self.challenger_id, self.known = active, challenger, known

    def active(self) -> Switch:
        return Switch(bundle_id=self.active_id)

    def challenger(self) -> str | None:
        return self.challenger_id

    def set_challenger(self, bundle_id: str, _: str | None) -> None:
        self.challenger_id = bundle_id

    def check_history(self) -> None: ...

    def records(self) -> dict[str, BundleRecord]:
        at = "2026-11-29 08:00:00.000Z"
        return {one: BundleRecord(bundle_id=one, width=67, items=5, first_served_at=at) for one in self.known}

    def settings_of(self, settings: Settings, _: str) -> Settings:
        return settings

    def close(self) -> None: ...


@pytest.fixture
def keyspace(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Keyspace]:
    """Return a function that makes the keyspace which `thalweg shadow` finds."""

    def make(*arguments: Any) -> Keyspace:
        made = Keyspace(*arguments)
        for name in ("Session", "Aliases", "Registry"):
            monkeypatch.setattr(shadow, name, lambda *_: made)
        return made

    return make


def test_the_active_bundle_goes_on_after_its_promotion(
    keyspace: Callable[..., Keyspace], capsys: pytest.CaptureFixture[str]
) -> None:
    found = keyspace(NEW, None, OLD, NEW)
    shadow.challenge(Settings(), NEW, replaces=False)
    assert found.challenger_id is None
    assert f"{NEW} is the active bundle" in capsys.readouterr().out


def test_a_new_bundle_becomes_the_challenger_and_stays_it(keyspace: Callable[..., Keyspace]) -> None:
    found = keyspace(OLD, None, OLD)
    for _ in range(2):
        shadow.challenge(Settings(), NEW, replaces=False)
        assert found.challenger_id == NEW


def test_another_challenger_is_replaced_only_on_demand(keyspace: Callable[..., Keyspace]) -> None:
    found = keyspace(OLD, OTHER, OLD, OTHER)
    with pytest.raises(InputError, match=f"{OTHER} is the challenger already.*thalweg retire {OTHER}"):
        shadow.challenge(Settings(), NEW, replaces=False)
    shadow.challenge(Settings(), NEW, replaces=True)
    assert found.challenger_id == NEW


def test_a_challenger_that_no_worker_has_served_is_not_to_be_retired(keyspace: Callable[..., Keyspace]) -> None:
    """Its first start failed, so `thalweg retire` knows no such bundle."""
    found = keyspace(OLD, OTHER, OLD)
    with pytest.raises(InputError, match=f"{OTHER} is the challenger already, and no worker.*give --replace") as raised:
        shadow.challenge(Settings(), NEW, replaces=False)
    assert "retire" not in str(raised.value)
    shadow.challenge(Settings(), NEW, replaces=True)
    assert found.challenger_id == NEW
