"""What `thalweg subject` refuses: it would find nothing, and say that everything was read."""

from pathlib import Path
from typing import Any

import pytest

from streams.commands.subject import subject
from streams.config.errors import InputError, SettingsError
from streams.config.settings import Settings
from streams.contracts.privacy.pseudonyms import Pseudonyms

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
