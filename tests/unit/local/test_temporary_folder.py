"""A temporary data folder is deleted at the end. If its owner was killed, the next owner deletes the folder."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from streams.local.process.temporary_folder import temporary_folder

OWNER = """
import sys
from streams.local.process.temporary_folder import temporary_folder
with temporary_folder() as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_the_folder_of_a_killed_owner_is_deleted_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        printed = owner.stdout.readline().strip()
        assert printed, f"the owner ended with exit code {owner.wait()} before it printed its folder"
        folder = Path(printed)
        assert folder.parent == tmp_path
        (folder / "kafka").mkdir()
        with temporary_folder() as own_folder:
            assert folder.exists(), "its owner still runs"
        assert not own_folder.exists()
        owner.kill()
    assert folder.exists()
    with temporary_folder():
        assert not folder.exists()
    assert list(tmp_path.iterdir()) == []
