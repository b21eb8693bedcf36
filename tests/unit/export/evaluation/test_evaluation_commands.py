"""`thalweg evaluate` and `thalweg explain` as a user calls them."""

import json
from pathlib import Path

import msgspec
import pytest

from encoder.data.event_log import EventLog
from export.evaluation.report.page import page
from export.runtime.bundle import Bundle
from streams.cli import main
from tests.support.bundles import tiny_bundle
from tests.support.random_log import ITEMS, random_log


def write(log: EventLog, path: Path) -> Path:
    path.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in log.events()))
    return path


def test_the_commands_print_and_write_their_results(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = str(write(random_log(), tmp_path / "log.jsonl"))
    page_at = tmp_path / "out" / "page.html"
    of = ["--bundle", str(bundle.path), "--events", log]
    assert main(["evaluate", *of, "--rest", "0.5", "--history", log, "--report", str(page_at), "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out.strip().splitlines()[-1])
    assert (result["events"], result["history"]["events"] > 150) == (200, True)
    assert f"UNCHECKED: {bundle.bundle_id} does not say" in printed.err
    shown = " ".join(printed.err.split())
    for text in ("Next action", "Time to the next event,", "Churn: no event within the horizon", "popularity"):
        assert text in shown
    time = result["heads"]["time"]
    assert (
        f"calibration error {time['watched']['calibration_error']:.3f} corrected for the log's end; raw, as the "
        in shown
    )
    assert f"monitor shows it, {time['calibration_error']:.3f}: times that the log's end cut off are missing" in shown
    for name in ("calibration error corrected for the log&#x27;s end", "raw calibration error, as the monitor counts"):
        assert name in page_at.read_text()
    assert json.loads(page_at.with_suffix(".json").read_text()) == result
    assert page_at.read_text() == page(result)

    other = tiny_bundle(tmp_path / "other", items=ITEMS - 10, width=16, seed=1)
    assert main(["evaluate", *of, "--rest", "0.5", "--compare", str(other.path)]) == 0
    printed = capsys.readouterr()
    for bundle_id in (bundle.bundle_id, other.bundle_id):
        assert f"UNCHECKED: {bundle_id} does not say" in printed.out

    assert main(["explain", "u1", *of, "--item", "item-3", "--json"]) == 0
    explained = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert explained["item_id"] == "item-3"
    assert len(explained["events"]) > 5
    known = [event["is_in_catalogue"] for event in explained["events"]]
    assert known == [event["item_id"] in bundle.item_index for event in explained["events"]]

    for wrong, named in (
        (["evaluate", "--bundle", str(bundle.path)], "give --bundle DIR with --events LOG"),
        (["evaluate"], "nothing to evaluate"),
        (["evaluate", "checkpoint", log, "--freshness"], "--freshness needs --bundle"),
        (["evaluate", *of, "--history", log], "no event of --history"),
        (["evaluate", *of, "--report", "page.txt"], "name a file that ends in .html"),
    ):
        assert main(wrong) == 1
        assert named in capsys.readouterr().err
