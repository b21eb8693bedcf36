"""What `thalweg retire` refuses, which updates it deletes, and whose mark it takes away."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from streams.commands.bundles import retire
from streams.commands.bundles.retire import Retirement, Updates
from streams.config.errors import InputError, SettingsError
from streams.config.settings import Settings
from streams.store.bundle_record import BundleRecord

FIRST, OWN = "gru-0f3a5c7e9b1d", "gru-aaaaaaaaaaaa"
OWN_TOPIC = f"representations.updates.v1.{OWN}"


class Keyspace:
    """Stands for the bundles of a keyspace: the first one, and one that publishes to a topic of its own."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.session = None
        self.running = 0
        self.known = {
            one: BundleRecord(
                bundle_id=one, width=67, items=5, first_served_at="2026-11-29 08:00:00.000Z", updates_topic=topic
            )
            for one, topic in ((FIRST, self.settings.updates_topic), (OWN, OWN_TOPIC))
        }
        self.registry = self.aliases = self

    def records(self) -> dict[str, BundleRecord]:
        return self.known

    def record(self, bundle_id: str) -> BundleRecord:
        return self.known[bundle_id]

    def settings_of(self, settings: Settings, bundle_id: str) -> Settings:
        topic = settings.bundle_updates_topic(bundle_id, bundle_id == FIRST)
        return msgspec.structs.replace(settings, updates_topic=topic)

    def group(self, bundle_id: str) -> str:
        return f"thalweg-{bundle_id}"

    def active(self) -> None: ...

    def drop_challenger(self, bundle_id: str) -> None: ...

    def workers(self, _: str) -> int:
        return self.running


class Stored:
    """Stands for the deletion in Cassandra. Marks as `BundleDeletion` does."""

    is_marked = False

    def __init__(self) -> None:
        self.rows: list[int] = []  # how many each call of `delete_rows` finds
        self.deleted: list[str] = []

    def begin(self) -> bool:
        was_marked, self.is_marked = self.is_marked, True
        return not was_marked

    def give_up(self) -> None:
        self.is_marked = False

    def delete_rows(self, *_: Any) -> int:
        self.deleted.append("rows")
        return self.rows.pop(0)

    def delete_item_vectors(self, _: Any) -> int:
        return 0

    def delete_rest(self) -> None:
        self.deleted.append("rest")

    def end(self) -> None:
        self.deleted.append("end")


@pytest.fixture
def keyspace() -> Any:
    return Keyspace()


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> Stored:
    """The deletion that every retirement uses. The topics hold keys of known bundles alone."""
    made = Stored()
    monkeypatch.setattr(retire, "BundleDeletion", lambda *_: made)
    monkeypatch.setattr(retire, "most_partitions", lambda *_: (4, 0))
    monkeypatch.setattr(retire, "sizes", lambda *_: {})
    monkeypatch.setattr(retire, "check_broker_rights", lambda *_: None)
    monkeypatch.setattr(retire, "has_other_keys", lambda *_: False, raising=False)
    return made


def updates(retirement: Retirement) -> Updates:
    return retirement._updates


@pytest.mark.usefixtures("stored")
def test_a_topic_that_the_row_does_not_name_is_refused_with_both_names(keyspace: Any) -> None:
    assert updates(Retirement(keyspace, OWN)) == (OWN_TOPIC, False)
    keyspace.settings = msgspec.structs.replace(keyspace.settings, updates_topic="other")
    with pytest.raises(SettingsError, match=rf"publish to the topic {OWN_TOPIC}, and .* to other\.{OWN}"):
        Retirement(keyspace, OWN)


@pytest.mark.usefixtures("stored")
def test_a_topic_with_keys_of_another_keyspace_stays(keyspace: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def has_other_keys(_: Settings, topic: str, known: Any) -> bool:
        asked.append((topic, set(known)))
        return True

    monkeypatch.setattr(retire, "has_other_keys", has_other_keys, raising=False)
    assert updates(Retirement(keyspace, OWN)) == (OWN_TOPIC, True)
    assert asked == [(OWN_TOPIC, {FIRST, OWN})]


def test_only_the_command_that_set_the_mark_takes_it_away(keyspace: Any, stored: Stored) -> None:
    first, second = Retirement(keyspace, OWN), Retirement(keyspace, OWN)
    keyspace.running = 1
    with pytest.raises(InputError, match="1 worker of"):
        next(first.carry_out())
    assert not stored.is_marked, "nothing is deleted, so workers may start"
    stored.begin()  # by another command, which deletes now
    with pytest.raises(InputError, match="1 worker of"):
        next(second.carry_out())
    assert stored.is_marked


def test_what_a_backfill_writes_behind_the_deletion_is_deleted_too(
    keyspace: Any, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backfill is no member of the group, and looks at the mark before it writes."""
    for name in ("delete_topic", "delete_group"):
        monkeypatch.setattr(retire, name, lambda *_, name=name: stored.deleted.append(name) is None)
    stored.rows = [7, 2, 0]
    told = list(Retirement(keyspace, OWN).carry_out())
    others = ["rest", "delete_topic", "delete_group"]
    assert stored.deleted == ["rows", *others, "rows", *others, "rows", "end"]
    assert [line for line in told if line.startswith("rows")] == [
        "rows: 7 deleted",
        "rows: 2 deleted, which were written meanwhile",
    ]


def test_keys_of_unknown_bundles_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from streams.commands.bundles import kafka_deletion

    async def read_topic(*_: Any) -> Any:
        yield [SimpleNamespace(key=f"{OWN}/user-1".encode())]
        yield [SimpleNamespace(key=f"{FIRST}/user/2".encode())]

    monkeypatch.setattr(kafka_deletion, "topic_exists", lambda *_: True)
    monkeypatch.setattr(kafka_deletion, "read_topic", read_topic)
    assert not kafka_deletion.has_other_keys(Settings(), "updates", [FIRST, OWN])
    assert kafka_deletion.has_other_keys(Settings(), "updates", [OWN])
    assert kafka_deletion.has_other_keys(Settings(), "updates", [FIRST, OWN[:-1]])
