"""What `thalweg up` and `thalweg down` say about folders that cannot be used."""

from pathlib import Path

import pytest

from encoder.errors import InputError
from streams import cli
from streams.local.jvm.jar_lock import locked_jars
from streams.local.jvm.jars import classpaths


def test_up_names_a_home_that_cannot_be_written_and_down_finds_nothing_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    home = tmp_path / "file" / "home"
    monkeypatch.setenv("THALWEG_HOME", str(home))
    assert cli.main(["up"]) == 1
    assert f"THALWEG_HOME {home} cannot be written: " in capsys.readouterr().err
    assert cli.main(["down"]) == 0
    assert "nothing was running" in capsys.readouterr().out


def test_a_cache_that_cannot_be_written_is_named_before_a_download(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="THALWEG_CACHE cannot be written: "):
        classpaths(list(locked_jars()), tmp_path / "file")
