"""A key file that others may read, or that holds no random key, is refused with what to do."""

import os
from pathlib import Path

import pytest

from streams.broker.decoding.pseudonym_key import open_pseudonyms
from streams.broker.decoding.record_decoder import open_decoder
from streams.config.errors import SettingsError
from streams.config.loading import load_settings
from streams.config.settings import Settings
from streams.contracts.privacy.pseudonyms import Pseudonyms

KEY = bytes(range(32))


def key_file(folder: Path, content: bytes = KEY, mode: int = 0o600) -> Settings:
    path = folder / "pseudonym.key"
    path.write_bytes(content)
    path.chmod(mode)
    return Settings(pseudonym_key=str(path))


def test_the_key_is_the_bytes_of_the_file(tmp_path: Path) -> None:
    found = open_pseudonyms(key_file(tmp_path, KEY + b"\n"))
    assert found is not None
    assert found.fingerprint == Pseudonyms(KEY + b"\n").fingerprint != Pseudonyms(KEY).fingerprint
    assert open_decoder(key_file(tmp_path)).name.endswith(Pseudonyms(KEY).fingerprint)
    assert open_pseudonyms(Settings()) is None


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (KEY[:31], 0o600, "has 31 bytes: a key has 32 to 4096; make a key with: .umask 077; head -c 32 /dev/urandom"),
        (bytes(32), 0o600, "has 1 different bytes, so the key is not random"),
        (KEY * 200, 0o600, "has more than 4096 bytes"),
        (KEY, 0o604, "-rw----r--.*run chmod 600"),
        (KEY, 0o620, "-rw--w----.*run chmod 600"),
    ],
)
def test_an_unfit_file_is_refused_with_the_setting_and_the_remedy(
    tmp_path: Path, content: bytes, mode: int, message: str
) -> None:
    with pytest.raises(SettingsError, match=rf"pseudonym_key \(THALWEG_PSEUDONYM_KEY\).*{message}"):
        open_pseudonyms(key_file(tmp_path, content, mode))


def test_the_group_may_read_the_key_where_root_owns_the_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, real = key_file(tmp_path, mode=0o640), os.fstat

    def owned_by(user: int) -> None:
        def fstat(descriptor: int) -> os.stat_result:
            fields = list(real(descriptor))
            fields[4] = user
            return os.stat_result(fields)

        monkeypatch.setattr("streams.config.key_file.os.fstat", fstat)

    owned_by(0)
    assert open_pseudonyms(settings) is not None
    owned_by(1_000)
    with pytest.raises(SettingsError, match="-rw-r-----"):
        open_pseudonyms(settings)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)  # an open of a pipe would wait for a writer
    for name, message in (("none", "there is no such file"), ("pipe", "no regular file"), (".", "no regular file")):
        with pytest.raises(SettingsError, match=message):
            open_pseudonyms(Settings(pseudonym_key=str(tmp_path / name)))


def test_originals_are_dropped_only_where_there_is_a_key(tmp_path: Path) -> None:
    named = {"THALWEG_HOME": str(tmp_path), "THALWEG_DEAD_LETTER_CONTENT": "dropped"}
    with pytest.raises(SettingsError, match=r"dead_letter_content .*needs pseudonym_key"):
        load_settings(named)
    assert load_settings(named | {"THALWEG_PSEUDONYM_KEY": "k"}).dead_letter_content == "dropped"
    with pytest.raises(SettingsError, match="known: encrypted, dropped"):
        load_settings(named | {"THALWEG_DEAD_LETTER_CONTENT": "shown"})
