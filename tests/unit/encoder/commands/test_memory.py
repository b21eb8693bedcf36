"""The estimate of a training's memory, and what is left of a machine and of a container."""

from pathlib import Path

import pytest
from rich.console import Console

from encoder.commands import memory
from encoder.commands.memory import available_bytes, check_memory
from encoder.commands.size_estimate import SizeEstimate
from encoder.errors import InputError
from encoder.training.settings import TrainingSettings

GIB = 2**30


def write_group(folder: Path, limit: str) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{3 * GIB}\n")
    (folder / "memory.stat").write_text(f"anon {2 * GIB}\ninactive_file {GIB}\n")
    return folder


def test_the_smaller_of_machine_and_container_counts(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: 99 kB\nMemAvailable: {8 * GIB // 1024} kB\n")
    assert available_bytes(meminfo, tmp_path / "absent") == 8 * GIB
    assert available_bytes(meminfo, write_group(tmp_path, str(4 * GIB))) == 2 * GIB
    assert available_bytes(meminfo, write_group(tmp_path, "max")) == 8 * GIB
    assert available_bytes(tmp_path / "absent", tmp_path / "absent") is None


def test_a_training_that_does_not_fit_is_refused_with_a_sample_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    console, settings = Console(quiet=True), TrainingSettings()
    events, items = 40_000_000, 200_000
    needed = SizeEstimate.of(events, items, settings).memory_bytes
    for left in (needed, None):
        monkeypatch.setattr(memory, "available_bytes", lambda left=left: left)
        check_memory(events, items, settings, console)
    monkeypatch.setattr(memory, "available_bytes", lambda: needed // 2)
    with pytest.raises(InputError, match=r"40,000,000 events and 200,000 items.*--sample-users 0\.45"):
        check_memory(events, items, settings, console)


def test_wider_models_and_longer_logs_need_more() -> None:
    def needed(events: int, items: int, width: int) -> int:
        return SizeEstimate.of(events, items, TrainingSettings(width=width)).memory_bytes

    assert needed(10, 10, 64) < needed(11, 10, 64)
    assert needed(10, 10, 64) < needed(10, 10, 128)
