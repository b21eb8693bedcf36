"""A setting that a backfill refuses ends `thalweg retrain` before the training."""

import argparse
from pathlib import Path

import pytest

from streams.commands.retrain import command
from streams.config.errors import InputError, SettingsError


def arguments(folder: Path, *options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(["--archive", str(folder / "archive"), "--runs", str(folder / "runs"), *options])


def test_users_who_expire_are_refused_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALWEG_USER_TTL_DAYS", "30")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"user_ttl_days.* is 30, and a backfill lets no history expire"):
        command.run(arguments(tmp_path))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="--learn-on continues"):  # the next check
        command.run(arguments(tmp_path, "--no-backfill", "--learn-on"))
