"""Logs of several files, folders and globs, compressed files, and samples of users."""

import gzip
import json
import re
from pathlib import Path

import cramjam
import numpy as np
import pytest

from encoder.data.loaders import LogPaths, load_log
from encoder.data.loaders.assembly import log_builder
from encoder.data.loaders.text import lines
from encoder.errors import InputError
from streams.commands.replay.log_records import LogRecords
from tests.tools.logs.log_contents import contents

HEADER = "user_id,item_id,action,event_time_ms,event_id"
TIME_MS = 1_700_000_000_000


def csv(*rows: str) -> bytes:
    return "\n".join([HEADER, *rows, ""]).encode()


def row(number: int) -> str:
    return f"u{number % 50},i{number},view,{TIME_MS + number * 7 % 100},e{number}"


def write_parts(folder: Path, parts: int = 3, rows: int = 100) -> list[Path]:
    """Write a log of `rows` rows in files of equal size, one of them inside a folder, and files that are no part."""
    paths = []
    for part in range(parts):
        path = folder / (f"part-{part}.csv" if part else "2020/part-0.csv")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(csv(*(row(number) for number in range(part * rows // parts, (part + 1) * rows // parts))))
        paths.append(path)
    for name in ("_SUCCESS", ".part-1.csv.crc"):
        (folder / name).write_bytes(b"no log")
    return paths


@pytest.mark.parametrize("kind", ["files", "folder", "glob"])
def test_files_folders_and_globs_are_one_log(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    paths = write_parts(folder)
    whole = tmp_path / "whole.csv"
    whole.write_bytes(csv(*(row(number) for number in range(100))))
    log = {"files": paths, "folder": folder, "glob": str(folder / "**/part-?.csv")}[kind]
    found, report = load_log(log)
    expected, expected_report = load_log(whole)
    assert contents(found) == contents(expected)
    assert report.counts() == expected_report.counts()
    assert list(LogRecords(log)) == list(LogRecords(whole))
    assert list(LogRecords(log, rest=0.5)) == list(LogRecords(whole, rest=0.5))


def test_duplicates_are_found_across_files_and_a_bad_line_names_its_file(tmp_path: Path) -> None:
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_bytes(csv(row(1), row(2)))
    other.write_bytes(csv(row(2), "nonsense", row(3)))
    log, report = load_log([one, other])
    assert (len(log), report.duplicates, report.unparsable) == (3, 1, 1)
    assert report.examples[0].startswith("other.csv line 3: 1 instead of 5 columns")


def test_duplicates_are_found_by_their_texts_where_hashes_are_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_builder, "keys_of", lambda ids, user: np.zeros(len(ids), np.uint64))
    path = tmp_path / "log.csv"
    path.write_bytes(csv(row(1), row(2), row(51), row(2), row(3), row(1), "u1,i9,view,1700000000000,e2"))
    log, report = load_log(path)
    assert report.duplicates == 2
    assert sorted((event.user_id, event.event_id) for event in log.events()) == [
        ("u1", "e1"),
        ("u1", "e2"),
        ("u1", "e51"),
        ("u2", "e2"),
        ("u3", "e3"),
    ]


def test_unclear_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").write_bytes(csv(row(1)))
    (tmp_path / "b.jsonl").write_bytes(b"{}\n")
    for log, error in (
        (tmp_path / "empty", "empty has no files"),
        (str(tmp_path / "*.parquet"), "*.parquet has no files"),
        ([tmp_path / "a.csv", tmp_path / "b.jsonl"], "a.csv is a file of format csv and"),
        ([tmp_path / "a.csv", tmp_path / "a.csv"], "a.csv stands twice"),
    ):
        for read in (load_log, LogRecords):
            with pytest.raises(InputError, match=re.escape(error)):
                read(log)


def test_the_name_of_a_log_in_messages_is_short() -> None:
    assert f"{LogPaths(['a'])} {LogPaths(['a', 'b', 'c'])}" == "a a and 2 more"


@pytest.mark.parametrize("ending", ["zst", "gz"])
@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_compressed_files_are_read(name: str, ending: str, tmp_path: Path) -> None:
    texts = [row(number) for number in range(100)]
    content = csv(*texts)
    if name == "log.jsonl":
        names = HEADER.split(",")
        events = [dict(zip(names, text.split(","), strict=True)) for text in texts]
        content = b"".join(json.dumps({**e, "event_time_ms": int(e["event_time_ms"])}).encode() + b"\n" for e in events)
    path = tmp_path / f"{name}.{ending}"
    halves = (content[: len(content) // 2], content[len(content) // 2 :])  # two frames one after the other
    path.write_bytes(b"".join(gzip.compress(h) if ending == "gz" else bytes(cramjam.zstd.compress(h)) for h in halves))
    log, report = load_log(path)
    assert (len(log), report.unparsable) == (100, 0)
    assert len(list(LogRecords(path))) == 100
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="check the path and that the file is whole"):
        load_log(path)


def test_zstd_without_pyarrow_is_refused_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl.zst"
    path.write_bytes(bytes(cramjam.zstd.compress(b"{}")))
    monkeypatch.setattr(lines.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="compressed with zstd, which needs pyarrow: install"):
        load_log(path)


def test_a_sample_has_all_events_of_some_users_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    rows = [row(number) for number in range(500)]
    path.write_bytes(csv(*rows))
    whole, _ = load_log(path)
    half, report = load_log(path, sample_users=0.5)
    users = set(half.user_ids)
    assert 10 < len(users) < 40
    assert [event for event in whole.events() if event.user_id in users] == list(half.events())
    assert report.not_sampled == 500 - len(half) > 0
    assert report.rows == 500
    assert report.counts()["not_sampled"] == report.not_sampled
    assert f"{report.not_sampled} of users outside the sample" in str(report)
    path.write_bytes(csv(*rows[::-1]))
    assert set(load_log(path, sample_users=0.5)[0].user_ids) == users
    assert set(load_log(path, sample_users=0.25)[0].user_ids) < users
