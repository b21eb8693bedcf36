"""How many processes `--processes` means."""

import argparse
import os
from pathlib import Path

import pytest

from streams.config.cores import usable_cores
from streams.supervisor.process_count import AUTO, process_count


def test_a_number_or_auto() -> None:
    assert (process_count("3"), process_count("auto")) == (3, AUTO)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "all", "", "²"])
def test_anything_else_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="neither a number of processes"):
        process_count(text)


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return 8


@pytest.mark.parametrize(
    ("own", "above", "expected"),
    [
        ("max 100000", "max 100000", 8),
        ("250000 100000", "max 100000", 2),
        ("max 100000", "300000 100000", 3),
        ("50000 100000", "max 100000", 1),
        ("1600000 100000", "max 100000", 8),
    ],
)
def test_the_smallest_quota_of_the_control_groups_counts(
    cores: int, tmp_path: Path, own: str, above: str, expected: int
) -> None:
    group = tmp_path / "cgroup" / "kubepods" / "pod"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text(own + "\n")
    (group.parent / "cpu.max").write_text(above + "\n")
    (tmp_path / "own").write_text("0::/kubepods/pod\n")
    assert usable_cores(tmp_path / "cgroup", tmp_path / "own") == expected


def test_the_quota_of_a_container_stands_at_the_root(cores: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("400000 100000\n")
    (tmp_path / "own").write_text("0::/\n")
    assert usable_cores(tmp_path, tmp_path / "own") == 4


def test_without_control_groups_the_affinity_counts(cores: int, tmp_path: Path) -> None:
    assert usable_cores(tmp_path, tmp_path / "absent") == cores
