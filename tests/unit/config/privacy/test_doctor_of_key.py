"""`thalweg doctor` says which key hashes the ids, and why a key cannot be used."""

from pathlib import Path
from typing import Any

from streams.commands.doctor.pseudonym_checks import check_pseudonyms
from streams.config.settings import Settings
from streams.contracts.privacy.pseudonyms import Pseudonyms

KEY = bytes(range(32))


class Bound:
    """A session on a keyspace whose workers had no key."""

    def execute(self, _: str, query: str, __: Any = ()) -> list[tuple[str]]:
        if "system_schema.tables" in query:
            return [("behavior_topic",), ("bundles",)]
        return [("none",)] if "behavior_topic" in query else []


class Empty:
    """A session without the keyspace."""

    def execute(self, *_: Any) -> list[tuple[str]]:
        return []


def findings(session: Any, path: Path | None) -> list[tuple[str, str, str]]:
    settings = Settings(pseudonym_key=None if path is None else str(path))
    return [(one.state, one.subject, one.detail) for one in check_pseudonyms(session, settings)]


def test_the_fingerprint_and_each_fault_are_shown(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(KEY)
    key.chmod(0o600)
    [(state, subject, detail)] = findings(Empty(), key)
    assert (state, subject, Pseudonyms(KEY).fingerprint in detail) == ("ok", "pseudonyms", True)
    assert findings(Empty(), None) == findings(Bound(), None) == []
    [(state, _, detail)] = findings(Bound(), key)
    assert (state, "holds plain user ids" in detail) == ("failed", True)
    [(state, _, detail)] = findings(Empty(), tmp_path / "none")
    assert (state, "there is no such file" in detail) == ("failed", True)
