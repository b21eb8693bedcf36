"""What `thalweg subject` and a removal from an archive refuse, because their answer would be wrong."""

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.commands.subject import archived, command, subject
from streams.config.errors import InputError, SettingsError
from streams.config.settings import Settings
from streams.contracts.privacy.pseudonyms import Pseudonyms
from tests.support.archives import DESCRIPTION, view, write_segment

KEY, OTHER = b"".join(bytes([n * 7 % 251]) for n in range(32)), "0011223344556677"


class Session:
    """Answers as a keyspace whose ids are pseudonyms of another key."""

    def __init__(self, settings: Settings) -> None: ...

    def execute(self, doing: str, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        if "system_schema.tables" in query:
            return [("behavior_topic",), ("bundles",)]
        if parameters == ["pseudonym key"]:
            return [(OTHER,)]
        return []

    def close(self) -> None: ...


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    path = tmp_path / "pseudonym.key"
    path.write_bytes(KEY)
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize("has_key", [False, True])
def test_a_keyspace_of_another_key_is_refused(monkeypatch: pytest.MonkeyPatch, key_file: str, has_key: bool) -> None:
    monkeypatch.setattr(subject, "Session", Session)
    settings = Settings(pseudonym_key=key_file if has_key else None)
    with pytest.raises(SettingsError, match=f"pseudonyms of the key with the fingerprint {OTHER}"):
        subject.gather(settings, "ann", {})


def test_with_a_key_a_pseudonym_is_refused(key_file: str) -> None:
    with pytest.raises(InputError, match="is a pseudonym, and the behaviour topic holds plain ids"):
        subject.gather(Settings(pseudonym_key=key_file), Pseudonyms(KEY).of("ann"), {})


@pytest.mark.parametrize("topic_id", [DESCRIPTION.topic_id, "3-4"])
def test_an_archive_of_another_topic_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, topic_id: str) -> None:
    write_segment(tmp_path, 0, 0, [0, 0], [view("ann", 1), view("bob", 2)])
    topic = SimpleNamespace(name=DESCRIPTION.topic, topic_id=topic_id)
    monkeypatch.setattr(archived, "describe_topic", lambda settings, name: topic)
    settings = Settings(behavior_topic=DESCRIPTION.topic)
    if topic_id == DESCRIPTION.topic_id:
        assert [row["user_id"] for row in archived.archived_rows(settings, str(tmp_path), "ann")] == ["ann"]
        return
    with pytest.raises(InputError, match="the topic was deleted and made again"):
        archived.archived_rows(settings, str(tmp_path), "ann")


def test_nothing_is_removed_where_the_erasure_was_not_found_in_the_topic(tmp_path: Path) -> None:
    """A receipt must not say that a user was removed up to an erasure whose time nobody knows."""
    write_segment(tmp_path, 0, 0, [0], [view("ann", 1)])
    with pytest.raises(InputError, match="erasure at partition 0 offset 7 was not read from topic"):
        archived.remove_from_archive(Settings(), str(tmp_path), "ann", {0: 7}, [])


def test_a_file_that_exists_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    out = tmp_path / "subject.json"
    out.write_text("an earlier document")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with pytest.raises(InputError, match=r"subject\.json exists: .* --overwrite"):
        command.run(parser.parse_args(["u-42", "--out", str(out)]))
    assert out.read_text() == "an earlier document"
