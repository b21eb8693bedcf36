"""Which bundle `thalweg shadow` makes the challenger, and when an archive counts as applied."""

import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from streams.broker.topics import Topic
from streams.config.errors import InputError
from streams.config.settings import Settings
from streams.store.bundle_record import BundleRecord
from streams.store.bundles.aliases import Switch
from streams.supervisor import shadow

OLD, NEW, OTHER = "gru-0f3a5c7e9b1d", "gru-aaaaaaaaaaaa", "gru-bbbbbbbbbbbb"


class Keyspace:
    """Stands for the session, the aliases and the registry of a keyspace."""

    def __init__(self, active: str, challenger: str | None, *known: str) -> None:
        self.active_id, self.challenger_id, self.known = active, challenger, known
        self.partitions: list[int] = []  # that a backfill began

    def active(self) -> Switch:
        return Switch(bundle_id=self.active_id)

    def challenger(self) -> str | None:
        return self.challenger_id

    def set_challenger(self, bundle_id: str, _: str | None) -> None:
        self.challenger_id = bundle_id

    def backfilled(self, *_: Any) -> frozenset[int]:
        return frozenset(self.partitions)

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


def test_commits_behind_the_archive_do_not_say_that_the_archive_is_applied(
    keyspace: Callable[..., Keyspace], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A group that begins on a topic whose first records are deleted commits behind the archive at once."""
    found = keyspace(OLD, NEW, OLD, NEW)
    cut = Topic(
        name="events",
        topic_id=uuid.UUID(int=1),
        partitions=1,
        start_offsets={0: 60},
        stable_offsets={0: 100},
        end_offsets={0: 100},
        committed={0: 100},
    )
    archive = SimpleNamespace(partitions=[0], complete_from=lambda _: 0, end=lambda _: 80, log_end=lambda _: None)
    monkeypatch.setattr(shadow, "describe_topic", lambda *_: cut)
    monkeypatch.setattr(shadow, "open_reader", lambda _: archive)
    bundle: Any = SimpleNamespace(bundle_id=NEW)
    with pytest.raises(InputError, match=f"group thalweg-{NEW} has read partition 0 of events without archive folder"):
        shadow.backfill(Settings(), bundle, "folder")
    found.partitions = [0]
    shadow.backfill(Settings(), bundle, "folder")
    assert "the events of folder are applied already" in capsys.readouterr().out
