"""A checkpoint with a file that is cut off, damaged or unreadable is an error that names the checkpoint."""

import shutil
from pathlib import Path

import pytest

from encoder.data.simulator import Shop
from encoder.errors import InputError
from encoder.training.checkpoints import checkpoint
from encoder.training.checkpoints.checkpoint_files import CHECKPOINT_FILES
from encoder.training.settings import TrainingSettings
from encoder.training.train import train


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    log = Shop(7, 30, 20).simulate(400)
    checkpoint.save(train(log, TrainingSettings(max_epochs=1, width=8, hidden=8)), log, folder)
    return folder


@pytest.mark.parametrize("damage", ["empty", "half", "garbage", "unreadable"])
@pytest.mark.parametrize("name", CHECKPOINT_FILES)
def test_a_damaged_file_of_a_checkpoint_is_reported_in_one_line(
    whole: Path, tmp_path: Path, name: str, damage: str
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "copy"))
    content = (folder / name).read_bytes()
    if damage == "unreadable":
        (folder / name).unlink()
        (folder / name).mkdir()  # stands for a file of another user, because root may read every file
    else:
        damaged = {"empty": b"", "half": content[: len(content) // 2], "garbage": b"garbage" * 100}
        (folder / name).write_bytes(damaged[damage])
    with pytest.raises(InputError, match=r"copy is not a readable checkpoint: .*; train it again") as raised:
        checkpoint.load(folder)
    assert "\n" not in str(raised.value)
