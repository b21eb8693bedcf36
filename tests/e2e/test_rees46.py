"""A real log and the commands of a user: train on the first 70%, stream the rest and verify, with every cell."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoder.data.batches.windows import length_batches, windows
from encoder.data.event_log import EventLog
from encoder.data.loaders import load_log
from encoder.data.sequences import Sequences
from encoder.training.checkpoints.checkpoint import load
from encoder.training.settings import CELL_NAMES
from export.runtime.bundle import Bundle
from streams.cli import main
from streams.engine.arena import StoredUser
from streams.local import LocalServices
from streams.store.store import open_store
from tests.support.deployment import Deployment

LOG = Path(__file__).parents[3] / "shared" / "data" / "rees46" / "2019-Oct.csv.gz"
ROWS = 17_435
pytestmark = pytest.mark.skipif(
    not LOG.exists(), reason=f"there is no REES46 log at {LOG}; the project does not contain it"
)


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


def environment_of(deployment: Deployment) -> dict[str, str]:
    return {
        f"THALWEG_{name.upper()}": str(value)
        for name in deployment.settings.__struct_fields__
        if (value := getattr(deployment.settings, name)) is not None
    }


def test_a_real_log_is_trained_on_and_streamed_and_verified(services: LocalServices, tmp_path: Path) -> None:
    log = ["--format", "rees46", str(LOG)]
    thalweg("train", *log, "--first", "0.7", "--max-epochs", "2", "--out", str(tmp_path / "checkpoint"))
    thalweg("export", str(tmp_path / "checkpoint"), "--out", str(tmp_path / "bundle"))
    bundle = Bundle.load(tmp_path / "bundle")
    assert bundle.features == ("category", "brand", "price")
    deployment = Deployment(services, bundle, tmp_path)
    environment = environment_of(deployment)
    worker = deployment.worker()
    worker.start()
    sent = last_object(thalweg("replay", *log, "--rest", "0.7", "--json", **environment))["sent"]
    deployment.wait_until_committed()
    reading = worker.scrape()
    worker.stop()
    assert reading is not None
    outcomes = {name: reading.records(name) for name in ("applied", "already_applied", "dead_letter", "erased")}
    verified = last_object(thalweg("verify", "--json", **environment))

    first = last_object(thalweg("replay", *log, "--first", "0.7", "--json", **environment))["sent"]
    assert first + sent == ROWS
    assert sum(outcomes.values()) == sent
    assert outcomes["dead_letter"] == 1  # the last line of the file is cut off
    assert outcomes["applied"] == verified["events"]
    assert verified["mismatches"] == []
    assert verified["max_abs_diff"] <= 1e-5
    print(json.dumps({**outcomes, "sent": sent, "verify": verified}))


def representations_by_sequence_form(checkpoint: Path, log: EventLog) -> dict[str, NDArray[np.float32]]:
    """Return each user's last representation, computed in the model's sequence form, in which it was trained."""
    trained = load(checkpoint)
    sequences = Sequences.from_log(log, trained.vocabulary)
    found = {}
    for users in length_batches(sequences.lengths, max_places=4_096, max_steps=int(sequences.lengths.max())):
        [window] = windows(sequences, users, int(sequences.lengths.max()))
        values = (window.item, window.action, window.gap_ms)
        features = {name: torch.from_numpy(window.features[name]) for name in trained.model.config.features}
        state = trained.model.initial_recurrent_state(len(users))
        with torch.no_grad():
            after, _ = trained.model.sequence(*(torch.from_numpy(value) for value in values), state, features)
        for row, position in enumerate(window.position):
            last = int((position >= 0).sum()) - 1
            found[log.user_ids[log.user[sequences.row[position[last]]]]] = after[row, last].numpy()
    return found


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_streamed_representations_are_those_of_the_trained_model(
    cell: str, services: LocalServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = ["--format", "rees46", str(LOG)]
    checkpoint, exported = str(tmp_path / "checkpoint"), str(tmp_path / "bundle")
    train = ["train", *log, "--first", "0.7", "--max-epochs", "1", "--cell", cell, "--threads", "1"]
    assert main([*train, "--out", checkpoint]) == 0
    assert main(["export", checkpoint, "--out", exported]) == 0
    bundle = Bundle.load(exported)
    assert bundle.manifest.cell == cell
    assert bundle.manifest.parity["longest"] == 1_000
    assert bundle.manifest.parity["state_max_abs_diff"] <= 1e-5
    # The rounding errors of the counters must not add up: float32 rounds each of a thousand equal gaps alike.
    assert bundle.manifest.parity["representation_max_abs_diff"] <= 1e-5

    deployment = Deployment(services, bundle, tmp_path)
    for name, value in environment_of(deployment).items():
        monkeypatch.setenv(name, value)
    worker = deployment.worker()
    worker.start()
    assert main(["replay", *log, "--rest", "0.7"]) == 0
    deployment.wait_until_committed()
    worker.stop()
    verified = deployment.verify()
    assert (verified.mismatches, verified.users, verified.events) == ([], 1_648, 5_236)
    assert verified.max_abs_diff <= 1e-5

    expected = representations_by_sequence_form(tmp_path / "checkpoint", load_log(LOG, "rees46")[0].split(0.7)[1])
    store = open_store(deployment.settings, bundle)
    stored = {user.user_id: user.representation for user in store.users.scan() if isinstance(user, StoredUser)}
    store.close()
    assert stored.keys() == expected.keys()
    for user_id, representation in stored.items():
        np.testing.assert_allclose(representation, expected[user_id], rtol=0, atol=1e-5)
