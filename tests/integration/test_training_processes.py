"""`thalweg train` in separate processes: a killed command that is run again, and two processes of torchrun."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from encoder.training.checkpoints import checkpoint
from encoder.training.snapshots import FILE_NAME
from streams import cli
from tests.support.models import assert_same_weights

ROOT = Path(__file__).parents[2]


def test_a_killed_command_continues_when_it_is_run_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["simulate", "--events", "3000", "--out", str(tmp_path / "shop.jsonl")]) == 0

    def train_into(name: str, *more: str) -> list[str]:
        options = ["--out", str(tmp_path / name), "--width", "16", "--max-epochs", "3", "--device", "cpu", *more]
        return ["train", str(tmp_path / "shop.jsonl"), *options]

    command = [sys.executable, "-m", "streams.cli", *train_into("killed")]
    with subprocess.Popen(command, cwd=ROOT) as process:
        while not (tmp_path / "killed" / FILE_NAME).exists() and process.poll() is None:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "checkpoint.json").exists()
    shutil.copytree(tmp_path / "killed", tmp_path / "other")
    capsys.readouterr()
    assert cli.main(train_into("other", "--seed", "5", "--max-epochs", "1")) == 0
    assert "a training on another log or with other settings: this training starts" in capsys.readouterr().out
    assert not (tmp_path / "other" / FILE_NAME).exists(), "the snapshot must be removed at the end"
    assert cli.main(train_into("killed")) == 0
    assert "Continues after epoch" in capsys.readouterr().out
    assert cli.main(train_into("whole")) == 0
    again, whole = (checkpoint.load(tmp_path / name) for name in ("killed", "whole"))
    assert again.description == whole.description
    assert_same_weights(again.model, whole.model)


def torchrun(*arguments: str, timeout_s: float = 300) -> str:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ended = subprocess.run(
        [*command, "-m", "streams.cli", *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


def test_two_processes_of_torchrun_train_and_one_of_them_writes(tmp_path: Path) -> None:
    log = str(tmp_path / "shop.jsonl")
    assert cli.main(["simulate", "--events", "1000", "--out", log]) == 0
    options = ["--width", "16", "--max-epochs", "1", "--device", "cpu"]
    printed = torchrun("train", log, "--out", str(tmp_path / "two"), *options)
    assert printed.count("Checkpoint in") == 1
    assert not (tmp_path / "two" / FILE_NAME).exists()
    assert cli.main(["train", log, "--out", str(tmp_path / "one"), *options]) == 0
    two, one = (checkpoint.load(tmp_path / name).description for name in ("two", "one"))
    assert two.epochs[0]["loss"] == pytest.approx(one.epochs[0]["loss"], rel=0.1)
    assert two.epochs[0]["loss"] != one.epochs[0]["loss"]  # a step has twice as many events
