"""The external merge sort of `thalweg replay`."""

import errno
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from streams.commands.replay import time_order
from streams.commands.replay.time_order import TimedRecord, in_order_of_time
from streams.config.errors import InputError


def records(times: list[int]) -> list[TimedRecord]:
    """Return records whose value is their place in the list."""
    return [TimedRecord(time_ms, b"u%d" % (at % 3), b"%d" % at, f"id-{at}") for at, time_ms in enumerate(times)]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_order, "CHUNK_RECORDS", 4)


@pytest.mark.parametrize("run_records", [1, 3, 10, 199, 200, 201])
@pytest.mark.parametrize("order", ["random", "ascending", "descending", "two files"])
def test_many_runs_are_merged_like_one_stable_sort(order: str, run_records: int) -> None:
    times = np.random.default_rng(5).integers(0, 40, 200).tolist()  # many records have equal times
    times = {
        "random": times,
        "ascending": sorted(times),
        "descending": sorted(times)[::-1],
        "two files": sorted(times[:120]) + sorted(times[120:]),
    }[order]
    unsorted = records(times)
    assert list(in_order_of_time(unsorted, run_records)) == sorted(unsorted, key=lambda record: record.time_ms)


def test_neighbouring_runs_of_a_sorted_log_are_read_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    open_runs: list[int] = []
    read = time_order._read

    def counted(file: Any, sequence: Any) -> Iterator[TimedRecord]:
        open_runs.append(len(sequence))
        return read(file, sequence)

    monkeypatch.setattr(time_order, "_read", counted)
    list(in_order_of_time(records(list(range(100))), 10))
    assert open_runs == [10]
    open_runs.clear()
    list(in_order_of_time(records([*range(50), *range(50)]), 10))
    assert open_runs == [5, 5]


def test_records_that_fit_into_memory_need_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_file(**_: Any) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(tempfile, "TemporaryFile", no_file)
    assert [record.time_ms for record in in_order_of_time(records([3, 1, 2]), 3)] == [1, 2, 3]
    assert list(in_order_of_time([], 3)) == []


def test_a_temporary_folder_without_room_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(InputError, match=r"No space left on device; name a folder .* with TMPDIR"):
        list(in_order_of_time(records([2, 1]), 1))
