"""A real log by the commands that a user calls: train on its first 70%, stream the rest, verify."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from export.bundle import Bundle
from streams.local import LocalServices
from tests.deployment import Deployment

LOG = Path(__file__).parents[3] / "shared" / "data" / "rees46" / "2019-Oct.csv.gz"
ROWS = 17_435


def thalweg(*arguments: str, **environment: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def last_object(printed: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
    return parsed


@pytest.mark.skipif(not LOG.exists(), reason=f"the REES46 log is not at {LOG}; it is not part of the project")
def test_rees46_trained_streamed_and_verified(services: LocalServices, tmp_path: Path) -> None:
    log = ["--format", "rees46", str(LOG)]
    thalweg("train", *log, "--first", "0.7", "--max-epochs", "2", "--out", str(tmp_path / "checkpoint"))
    thalweg("export", str(tmp_path / "checkpoint"), "--out", str(tmp_path / "bundle"))
    bundle = Bundle.load(tmp_path / "bundle")
    assert bundle.features == ("category", "brand", "price")
    deployment = Deployment(services, bundle, tmp_path)
    environment = {
        f"THALWEG_{name.upper()}": str(value)
        for name in deployment.settings.__struct_fields__
        if (value := getattr(deployment.settings, name)) is not None
    }
    worker = deployment.worker()
    worker.start()
    sent = last_object(thalweg("replay", *log, "--rest", "0.7", "--json", **environment))["sent"]
    deployment.wait_until_committed()
    reading = worker.read()
    worker.stop()
    assert reading is not None
    outcomes = {name: reading.records(name) for name in ("applied", "already_applied", "dead_letter", "erased")}
    verified = last_object(thalweg("verify", "--json", **environment))

    first = last_object(thalweg("replay", *log, "--first", "0.7", "--json", **environment))["sent"]
    assert first + sent == ROWS
    assert sum(outcomes.values()) == sent
    assert outcomes["dead_letter"] == 1  # the file's last line is cut off
    assert outcomes["applied"] == verified["events"]
    assert verified["mismatches"] == []
    assert verified["max_abs_diff"] <= 1e-5
    print(json.dumps({**outcomes, "sent": sent, "verify": verified}))
