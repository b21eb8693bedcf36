"""Temporary data is deleted at the end, or by the next one where its owner was killed."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from streams.local.process.scratch import scratch_folder

OWNER = """
import time
from streams.local.process.scratch import scratch_folder
with scratch_folder() as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_killed_owners_folder_goes_with_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        (folder / "kafka").mkdir()
        with scratch_folder() as mine:
            assert folder.exists(), "its owner lives"
        assert not mine.exists()
        owner.kill()
    assert folder.exists()
    with scratch_folder():
        assert not folder.exists()
    assert list(tmp_path.iterdir()) == []
