"""The program `thalweg` itself."""

import importlib.metadata

import pytest

from streams import cli


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"thalweg {importlib.metadata.version('thalweg')}\n"


def test_commands_run_from_a_source_tree_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["simulate", "--help"])
    assert stopped.value.code == 0
    assert "--events" in capsys.readouterr().out
