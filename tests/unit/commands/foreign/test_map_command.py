"""`thalweg map` of a file. tests/integration/test_map_topic.py has the command on a topic."""

import gzip
import json
from pathlib import Path

import pytest

from encoder.data.loaders import load_log
from streams import cli
from streams.broker import topics

RECORD = {"customer": "u-1", "sku": "p-1", "event_type": "seen", "ts": 1_772_359_200, "id": "e-1"}


def written(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_the_proposal_is_on_standard_output_and_all_else_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = written(tmp_path / "shop.jsonl", *({**RECORD, "id": f"e-{number}"} for number in range(12)), "no object")
    assert cli.main(["map", str(log)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("# Proposed by `thalweg map` from 13 records of ")
    assert 'user = "customer"' in out
    assert "the proposed mapping reads fields that were found by their names and values: check the mapping" in err
    assert "the first 10 of 12 events" in err
    assert "2026-03-01 10:00:00.000" in err
    assert "13 records: 12 give 12 events, 0 are skipped, 1 would become a dead letter" in err
    mapping = tmp_path / "shop.toml"
    mapping.write_text(out)
    assert cli.main(["map", str(log), "--mapping", str(mapping)]) == 0
    out, err = capsys.readouterr()
    assert "12 give 12 events" in out
    assert err == ""


def test_out_is_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "shop.jsonl.gz"
    log.write_bytes(gzip.compress(json.dumps(RECORD).encode()))
    out = tmp_path / "shop.toml"
    assert cli.main(["map", str(log), "--out", str(out)]) == 0
    assert f"the mapping in {out} reads fields" in capsys.readouterr().out
    assert 'item = "sku"' in out.read_text()
    assert cli.main(["map", str(log), "--out", str(out)]) == 1
    assert "exists: name another file, or replace the file with --overwrite" in capsys.readouterr().err
    assert cli.main(["map", str(log), "--out", str(out), "--overwrite"]) == 0
    assert cli.main(["map", str(log), "--out", str(out), "--mapping", "segment"]) == 1
    assert "leave one of them out" in capsys.readouterr().err


def test_a_sample_without_an_event_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = written(tmp_path / "shop.jsonl", {"a": 1}, {"a": 2})
    assert cli.main(["map", str(log)]) == 1
    out, err = capsys.readouterr()
    assert '# item = "PATH", but no field looks like the item' in out
    assert "the proposed mapping is not complete, because no field looks like user, item, time" in err
    assert cli.main(["map", str(log), "--mapping", "segment"]) == 1
    assert "2 skipped (filter), type is null" in capsys.readouterr().out


def test_a_file_that_is_not_there_or_empty_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["map", str(tmp_path / "no.jsonl")]) == 1
    assert "there is no file" in capsys.readouterr().err
    assert cli.main(["map", str(written(tmp_path / "empty.jsonl"))]) == 1
    assert "has no line" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz"])
def test_all_events_are_written_in_the_contract(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    lines = [{"product_id": "p-1", "price": "2,50"}, {"product_id": "p-2"}]
    order = {
        "type": "track",
        "messageId": "m-1",
        "userId": "u-1",
        "event": "Order Completed",
        "timestamp": "2026-03-01T10:00:00Z",
        "properties": {"products": lines},
    }
    log = written(tmp_path / "shop.jsonl", order, {"type": "page"}, "no object", {**order, "messageId": "m-2"})
    out = tmp_path / name
    assert cli.main(["map", str(log), "--mapping", "segment", "--events", str(out)]) == 0
    assert "4 records: 2 give 4 events, 2 are skipped, 0 would become dead letters" in capsys.readouterr().out
    events, report = load_log(out)
    assert (len(events), report.kept, report.unparsable) == (4, 4, 0)
    assert list(events.event_ids or ()) == ["m-1#1", "m-1#2", "m-2#1", "m-2#2"]
    mapped, _ = load_log(log, mapping="segment")
    assert list(mapped.event_ids or ()) == list(events.event_ids or ())
    assert mapped.price[0] == events.price[0] == 2.5
    assert cli.main(["map", str(log), "--events", str(out)]) == 1
    assert "--events needs --mapping" in capsys.readouterr().err
    assert cli.main(["map", str(log), "--mapping", "segment", "--events", str(out)]) == 1
    assert "exists: name another file" in capsys.readouterr().err


TYPING_ERRORS = """
user = "userId"
item = "properties.product_id"
action = "event"
time = { from = "at", unit = "ms" }
category = "properties.categry"

[actions]
"Product Veiwed" = "view"
"Order Completed" = "purchase"
Refund = "refund"
"""


def test_typing_errors_and_a_wrong_unit_of_a_mapping_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = {"userId": "u", "event": "Order Completed", "at": 1_772_359_200}
    order |= {"properties": {"product_id": "p", "category": "c"}}
    log = written(tmp_path / "shop.jsonl", order, {**order, "event": "Product Viewed"})
    mapping = tmp_path / "shop.toml"
    mapping.write_text(TYPING_ERRORS)
    warning = (
        "warning: 1 of 1 events have a time before 2001-09-09, the first is 1970-01-21 12:19:19.200: "
        'check unit = "ms" of the key "time" in the mapping'
    )
    actions = (
        "2 of the 3 actions in the mapping do not occur in these records: "
        '"Product Veiwed" (did you mean "Product Viewed"?), "Refund"'
    )
    assert cli.main(["map", str(log), "--mapping", str(mapping)]) == 0
    out = capsys.readouterr().out
    field = "no event has the field category: nothing stands at properties.categry"
    assert f"{warning}\n{field}; did you mean properties.category?\n{actions}\n" in out
    assert cli.main(["map", str(log), "--mapping", str(mapping), "--events", str(tmp_path / "e.jsonl")]) == 0
    assert f"{warning}\n{field}\n{actions}\n" in capsys.readouterr().out
    mapping.write_text(TYPING_ERRORS.replace("categry", "category").replace('"ms"', '"s"').replace("Veiwed", "Viewed"))
    log = written(tmp_path / "shop.jsonl", order, *({**order, "event": name} for name in ("Product Viewed", "Refund")))
    assert cli.main(["map", str(log), "--mapping", str(mapping)]) == 0
    out = capsys.readouterr().out
    assert not any(text in out for text in ("warning", "nothing stands", "do not occur"))


def test_a_failure_leaves_the_file_of_events_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the broker does not answer, or the source is a file that ends too early."""
    out = tmp_path / "history.jsonl.gz"
    out.write_bytes(b"the history of before")
    monkeypatch.setenv("THALWEG_BROKER", "127.0.0.1:9")
    monkeypatch.setattr(topics, "CONNECT_TIMEOUT_MS", 100)
    arguments = ["--mapping", "segment", "--events", str(out), "--overwrite"]
    assert cli.main(["map", "tracking", *arguments]) == 1
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(json.dumps(RECORD).encode() * 1_000)[:-20])
    assert cli.main(["map", str(cut), *arguments]) == 1
    assert out.read_bytes() == b"the history of before"
    assert sorted(tmp_path.iterdir()) == [cut, out]


@pytest.mark.parametrize("options", [("--mapping", "segment", "--events"), ("--out",)])
def test_the_file_to_read_is_not_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    log = written(tmp_path / "shop.jsonl", RECORD)
    assert cli.main(["map", str(log), *options, str(log), "--overwrite"]) == 1
    assert "is the file to read: name another file" in capsys.readouterr().err
    assert json.loads(log.read_text()) == RECORD


def test_a_folder_does_not_hide_the_topic_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THALWEG_BROKER", "127.0.0.1:9")
    monkeypatch.setattr(topics, "CONNECT_TIMEOUT_MS", 100)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tracking").mkdir()
    assert cli.main(["map", "tracking"]) == 1
    assert "no broker answers at 127.0.0.1:9" in capsys.readouterr().err
    assert cli.main(["map", str(tmp_path / "tracking")]) == 1
    assert "tracking is a folder" in capsys.readouterr().err
