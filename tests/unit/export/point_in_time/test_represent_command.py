"""`thalweg represent` as a user calls the command."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from encoder.data.events import BehaviorEvent
from encoder.data.loaders import load_log
from export.point_in_time import represent, stepping
from export.runtime.bundle import Bundle
from streams.cli import main
from streams.contracts.privacy.pseudonyms import Pseudonyms
from streams.engine.codec import ContractDecoder, Erasure
from streams.engine.payload.pseudonym_decoder import PseudonymDecoder
from tests.support.archives import DESCRIPTION, write_segment
from tests.support.bundles import hybrid_bundle
from tests.support.stream.moments import Stream, read_features, write_labels

DAY_MS = 86_400_000
START_MS = 10**12


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The model reads categories."""
    return hybrid_bundle(tmp_path_factory.mktemp("bundle") / "bundle", items=40, categories=4)


@pytest.fixture(scope="module")
def events() -> list[BehaviorEvent]:
    """Events in order of time. Many events have equal times, and some events stand twice."""
    draw = np.random.default_rng(3)
    found = [
        BehaviorEvent(
            event_id=f"id-{at}",
            user_id=f"u{draw.integers(30)}",
            item_id=f"item-{draw.integers(1, 45)}",
            action=str(draw.choice(["view", "cart", "wave"])),
            event_time_ms=START_MS + int(at // 7) * 60_000,
            category=None if draw.random() < 0.3 else f"category-{draw.integers(1, 6)}",
            price=float(draw.integers(1, 100)),
        )
        for at in range(1_400)
    ]
    return sorted([*found, *found[::50]], key=lambda one: one.event_time_ms)


def labels_of(events: list[BehaviorEvent], count: int) -> list[tuple[str, int]]:
    draw = np.random.default_rng(5)
    last_ms = events[-1].event_time_ms
    near = [event.event_time_ms for event in events]
    anywhere = draw.integers(START_MS - DAY_MS, last_ms + DAY_MS, count).tolist()
    return [
        (f"u{draw.integers(33)}", int(draw.choice([time_ms, draw.choice(near), 9 * 10**14], p=[0.5, 0.45, 0.05])))
        for time_ms in anywhere
    ]


def write_jsonl(events: list[BehaviorEvent], path: Path) -> Path:
    path.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    return path


def write_parquet(events: list[BehaviorEvent], path: Path) -> Path:
    rows = [msgspec.to_builtins(event) for event in events]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows).drop_columns(["session_id", "attributes"]), path)
    return path


def write_archive(events: list[BehaviorEvent], path: Path) -> Path:
    """Write the events of three partitions as an archive whose records have the times of the events."""
    for partition in range(3):
        own = [event for event in events if int(event.user_id[1:]) % 3 == partition]
        half = len(own) // 2
        for first, part in ((0, own[:half]), (half, own[half:])):
            write_segment(path, partition, first, [event.event_time_ms for event in part], part)
    return path


@pytest.mark.parametrize("write", [write_jsonl, write_parquet, write_archive])
def test_every_kind_of_source_gives_the_rows_of_the_stream(
    write: Callable[[list[BehaviorEvent], Path], Path],
    events: list[BehaviorEvent],
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(represent, "BATCH_ROWS", 100)  # several files of vectors
    monkeypatch.setattr(represent, "PARTS", 2)
    monkeypatch.setattr(stepping, "LANES", 5)  # several groups of lives in a part
    stream = Stream(bundle)
    for offset, event in enumerate(events):
        stream.apply(offset, event, event.event_time_ms)
    suffix = {write_jsonl: ".jsonl", write_parquet: ".parquet", write_archive: ""}[write]
    source = write(events, tmp_path / f"log{suffix}")
    labels = labels_of(events, 700)
    weights = pyarrow.array(np.arange(len(labels)) / 7)
    write_labels(tmp_path / "labels.parquet", labels, weight=weights)
    out = tmp_path / "features.parquet"
    of = ["--bundle", str(bundle.path), "--events", str(source), "--at", str(tmp_path / "labels.parquet")]
    assert main(["represent", *of, "--out", str(out), "--json"]) == 0

    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["labels"], result["users"], result["repeats"]) == (700, len({user for user, _ in labels}), 28)
    table = pyarrow.parquet.read_table(out)
    assert table.schema.names == ["user_id", "time_ms", "weight", "representation", "steps", "last_time_ms"]
    assert table["weight"].combine_chunks().equals(weights)
    width = bundle.manifest.representation_width
    assert table.schema.field("representation").type.list_size == width
    assert table.schema.metadata[b"thalweg.bundle_id"] == bundle.bundle_id.encode()
    found = read_features(out)
    assert result["without_history"] == sum(one.steps == 0 for one in found) > 5
    for one, (user, time_ms) in zip(found, labels, strict=True):
        expected = stream.row_at(user, time_ms)
        assert (one.steps, one.last_time_ms) == (expected.steps, expected.last_time_ms), (user, time_ms)
        np.testing.assert_allclose(one.representation, expected.representation, atol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [source.name, "labels.parquet", "features.parquet"]
    )


def test_the_events_of_one_line_are_one_record(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An order of ten lines that was sent twice is recognised, although a user has only eight remembered ids."""
    mapping = tmp_path / "orders.toml"
    mapping.write_text(
        'each = "products"\nuser = "customer"\nitem = "line:sku"\naction = { const = "purchase" }\n'
        'time = { from = "time", unit = "ms" }\nevent_id = "order"\n'
    )
    orders = [
        {"order": order, "customer": "u1", "time": START_MS, "products": [{"sku": f"item-{at}"} for at in range(1, 11)]}
        for order in ("a", "a", "b")
    ]
    log = tmp_path / "orders.jsonl"
    log.write_bytes(b"".join(msgspec.json.encode(order) + b"\n" for order in orders))
    write_labels(tmp_path / "labels.parquet", [("u1", START_MS + 1), ("u1", START_MS)])
    of = ["--bundle", str(bundle.path), "--events", str(log), "--mapping", str(mapping)]
    at = ["--at", str(tmp_path / "labels.parquet"), "--out", str(tmp_path / "out.parquet")]
    assert main(["represent", *of, *at, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["repeats"] == 10
    assert [one.steps for one in read_features(tmp_path / "out.parquet")] == [20, 0]


@pytest.mark.parametrize("users", [["u1"], ["nobody"], []])
def test_a_log_may_hold_no_user_with_a_label(
    users: list[str], events: list[BehaviorEvent], bundle: Bundle, tmp_path: Path
) -> None:
    log, out = write_jsonl(events, tmp_path / "log.jsonl"), tmp_path / "out.parquet"
    labels = pyarrow.table(
        {
            "user_id": pyarrow.array(users, pyarrow.string()),
            "time_ms": pyarrow.array([9 * 10**14] * len(users), pyarrow.int64()),
        }
    )
    pyarrow.parquet.write_table(labels, tmp_path / "labels.parquet")
    of = ["--bundle", str(bundle.path), "--events", str(log), "--at", str(tmp_path / "labels.parquet")]
    assert main(["represent", *of, "--out", str(out)]) == 0
    table = pyarrow.parquet.read_table(out)
    assert table["user_id"].to_pylist() == users
    assert [steps > 0 for steps in table["steps"].to_pylist()] == [user == "u1" for user in users]


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["represent", *arguments]) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"user": ["u1"], "time_ms": [1]}, "need one column user_id and have user, time_ms"),
        ({"user_id": ["u1"], "time_ms": [1.5]}, "time_ms of the labels"),
        ({"user_id": [1.5], "time_ms": [1]}, "user_id of the labels"),
        ({"user_id": ["u1", None], "time_ms": [1, 2]}, "user_id of row 1"),
        ({"user_id": ["u1"], "time_ms": [1], "steps": [2]}, "have a column steps"),
        ({"user_id": ["u1"], "time_ms": pyarrow.array([2**63], pyarrow.uint64())}, "cannot read the labels"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(
    columns: dict[str, Any],
    says: str,
    events: list[BehaviorEvent],
    bundle: Bundle,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "labels.parquet")
    log = write_jsonl(events[:10], tmp_path / "log.jsonl")
    of = ["--bundle", str(bundle.path), "--events", str(log), "--at", str(tmp_path / "labels.parquet")]
    assert says in refusal([*of, "--out", str(tmp_path / "out.parquet")], capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.parquet", "log.jsonl"]


def test_a_result_is_replaced_only_on_request_and_only_by_a_whole_one(
    events: list[BehaviorEvent], bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, out = write_jsonl(events, tmp_path / "log.jsonl"), tmp_path / "out.parquet"
    write_labels(tmp_path / "labels.parquet", [("u1", START_MS)])
    of = ["--bundle", str(bundle.path), "--at", str(tmp_path / "labels.parquet"), "--out", str(out), "--events"]
    out.write_bytes(b"before")
    labels = str(tmp_path / "labels.parquet")
    own = ["--bundle", str(bundle.path), "--at", labels, "--out", labels, "--events", str(log), "--overwrite"]
    assert "is the file of --at" in refusal(own, capsys)
    assert "replace the file with --overwrite" in refusal([*of, str(log)], capsys)
    with log.open("ab") as file:
        file.write(b"broken\n" * 100)
    assert "100 of 1,528 rows" in refusal([*of, str(log), "--overwrite"], capsys)
    assert out.read_bytes() == b"before"
    assert main(["represent", *of, str(log), "--overwrite", "--max-unparsable", "0.1"]) == 0
    assert [one.steps for one in read_features(out)] == [0]
    assert "without history: check that user_id and time_ms fit" in capsys.readouterr().out
    assert load_log(log)[1].unparsable == 100


def test_an_archive_stands_alone_and_has_all_records_of_its_users(
    events: list[BehaviorEvent], bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "archive"
    write_segment(archive, 1, 5, [START_MS, START_MS + 1], [events[0], Erasure(events[0].user_id)])
    write_labels(tmp_path / "labels.parquet", [(events[0].user_id, START_MS + after) for after in (0, 1, 2)])
    files = ["--at", str(tmp_path / "labels.parquet"), "--out", str(tmp_path / "out.parquet")]
    of = ["--bundle", str(bundle.path), *files]
    assert "name the archive alone" in refusal([*of, "--events", str(archive), str(archive)], capsys)
    assert "leave --columns out" in refusal([*of, "--events", str(archive), "--columns", "user_id=u"], capsys)
    assert main(["represent", *of, "--events", str(archive)]) == 0
    printed = capsys.readouterr().out
    assert "partition 1 lacks records before offset 5" in printed
    assert "2 rows of the archive: 1 of kind erasure, 1 of kind event" in printed
    assert [one.steps for one in read_features(tmp_path / "out.parquet")] == [0, 1, 0]


def test_labels_with_plain_ids_find_the_pseudonyms_of_an_archive(
    events: list[BehaviorEvent],
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)  # without a file of settings
    keys = [tmp_path / name for name in ("pseudonym.key", "other.key")]
    for number, key in enumerate(keys):
        key.write_bytes(bytes(range(number, number + 32)))
        key.chmod(0o600)
    pseudonyms = Pseudonyms(keys[0].read_bytes())
    pseudonym = pseudonyms.of(events[0].user_id)
    archive, labels = tmp_path / "archive", tmp_path / "labels.parquet"
    write_segment(archive, 0, 0, [START_MS], [msgspec.structs.replace(events[0], user_id=pseudonym)])
    name = PseudonymDecoder(ContractDecoder(), pseudonyms).name
    description = msgspec.structs.replace(DESCRIPTION, decoder=name)
    (archive / "archive.json").write_bytes(msgspec.json.encode(description))
    out = tmp_path / "out.parquet"
    of = ["--bundle", str(bundle.path), "--events", str(archive), "--at", str(labels), "--out", str(out)]

    monkeypatch.delenv("THALWEG_PSEUDONYM_KEY", raising=False)
    write_labels(labels, [(pseudonym, START_MS + 1)])
    assert main(["represent", *of]) == 0
    assert [one.steps for one in read_features(out)] == [1]
    write_labels(labels, [(pseudonym, START_MS + 1), (events[0].user_id, START_MS + 1)])
    assert f"user_id '{events[0].user_id}' of the labels is no pseudonym" in refusal([*of, "--overwrite"], capsys)
    monkeypatch.setenv("THALWEG_PSEUDONYM_KEY", str(keys[1]))
    assert "name the key of the archive" in refusal([*of, "--overwrite"], capsys)
    monkeypatch.setenv("THALWEG_PSEUDONYM_KEY", str(keys[0]))
    assert main(["represent", *of, "--overwrite"]) == 0
    assert [one.steps for one in read_features(out)] == [1, 1]
    assert pyarrow.parquet.read_table(out)["user_id"].to_pylist() == [pseudonym, events[0].user_id]
