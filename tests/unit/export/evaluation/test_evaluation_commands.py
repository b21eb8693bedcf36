"""`thalweg evaluate` and `thalweg explain` as a user calls them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    items = [event["item_id"] for event in explained["events"] if event["item_id"] in bundle.item_index]
    recent = [one["item_id"] for one in explained["recent"]]
    assert recent == list(dict.fromkeys(reversed(items)))[:10]
    assert any(one["score_added"] for one in explained["recent"])
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


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[dict[str, Any], str]:
    """Run `thalweg evaluate`. Returns the JSON, and what it printed besides."""
    assert main(["evaluate", *arguments, "--json"]) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out.strip().splitlines()[-1]), " ".join(printed.err.split())


def test_the_events_before_the_rest_are_history_unless_users_are_to_start_cold(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = random_log()
    whole, rest = write(log, tmp_path / "log.jsonl"), write(log.split(0.5)[1], tmp_path / "rest.jsonl")
    of = ["--bundle", str(bundle.path), "--events", str(whole)]
    warm, printed = evaluated(capsys, *of, "--rest", "0.5")
    assert f"history: 200 events of {whole} before the scored events are stepped first and not scored" in printed
    by_option, _ = evaluated(capsys, *of, "--rest", "0.5", "--history", str(whole))
    cold, printed = evaluated(capsys, *of, "--rest", "0.5", "--cold")
    assert "are stepped first" not in printed
    alone, _ = evaluated(capsys, "--bundle", str(bundle.path), "--events", str(rest))
    for result in (warm, by_option):
        del result["seconds"], result["lists"]["seconds"]  # two runs never take the same time
    assert warm == by_option
    for part, metrics in cold["metrics"].items():  # intervals depend on the order of the users
        for name in ("n", "recall@20", "mrr@20"):
            assert metrics[name] == pytest.approx(alone["metrics"][part][name], abs=1e-9)
    assert warm["history"]["events"] > cold["history"]["events"] == 0
    assert warm["metrics"]["cold"]["n"] < cold["metrics"]["cold"]["n"]
    assert evaluated(capsys, *of, "--rest", "0")[0]["history"]["events"] == 0


def test_a_checkpoint_is_evaluated_with_the_history_of_its_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = str(write(random_log(1_000), tmp_path / "log.jsonl"))
    checkpoint, exported = str(tmp_path / "checkpoint"), str(tmp_path / "bundle")
    train = ["train", log, "--first", "0.7", "--width", "8", "--max-epochs", "1", "--out", checkpoint]
    assert main(train) == main(["export", checkpoint, "--out", exported]) == 0
    capsys.readouterr()
    for more in ([], ["--cold"]):
        one, printed = evaluated(capsys, checkpoint, log, "--rest", "0.7", *more)
        other, _ = evaluated(capsys, "--bundle", exported, "--events", log, "--rest", "0.7", *more)
        assert ("history: 700 events" in printed) == (not more)
        assert one["history"] == other["history"]
        for part, name in (("warm", "warm"), ("first", "cold")):
            for by, ranking in (("model", "metrics"), ("masked", "masked")):
                for metric in ("n", "recall@20", "mrr@20"):
                    assert one[part][by][metric] == pytest.approx(other[ranking][name][metric], abs=1e-3), metric
        assert one["heads"]["time"]["n"] == other["heads"]["time"]["n"]
        assert one["heads"]["action"]["n"] == other["heads"]["action"]["all"]["n"] == 300
        assert one["heads"]["action"]["accuracy"] == pytest.approx(
            other["heads"]["action"]["all"]["accuracy"], abs=1e-2
        )
        for days, churn in one["heads"]["churn"].items():
            assert churn["n"] == other["heads"]["churn"][days]["n"]


def test_repeats_are_left_out_of_the_history_as_from_the_scored_events(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.csv"
    rows = [f"u{n % 5},item-{n},view,{10**12 + n}" for n in range(100)]
    path.write_text("\n".join(["user_id,item_id,action,event_time_ms", *rows, *rows[:20]]))
    of = ["--bundle", str(bundle.path), "--events", str(path), "--rest", "0.5"]
    repeated = 60 - int(0.5 * 120) + 20
    assert evaluated(capsys, *of)[0]["history"]["events"] == 40 + repeated
    assert evaluated(capsys, *of, "--drop-repeats")[0]["history"]["events"] == 40


def test_a_report_computes_only_what_is_asked_for(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of = ["--bundle", str(bundle.path), "--events", str(write(random_log(), tmp_path / "log.jsonl"))]
    page_at = tmp_path / "page.html"
    result, _ = evaluated(capsys, *of, "--report", str(page_at))
    assert (result["robustness"], result["freshness"]) == (None, None)
    assert "Disturbed history" not in page_at.read_text()
    result, _ = evaluated(capsys, *of, "--report", str(page_at), "--freshness")
    assert (result["robustness"], result["freshness"] is None) == (None, False)


def test_a_cold_start_contradicts_a_history(bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = str(write(random_log(), tmp_path / "log.jsonl"))
    of = ["evaluate", "--bundle", str(bundle.path), "--events", log, "--cold"]
    assert main(of) == 1
    assert "--cold leaves out the events before --rest: give --rest as well" in capsys.readouterr().err
    assert main([*of, "--rest", "0.5", "--history", log]) == 1
    assert "give one of them" in capsys.readouterr().err


def test_leave_one_out_scores_the_last_event_of_each_user_after_all_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = random_log(600)
    path, checkpoint, exported = str(write(log, tmp_path / "log.jsonl")), str(tmp_path / "c"), str(tmp_path / "b")
    train = ["train", path, "--width", "8", "--max-epochs", "1", "--out", checkpoint]
    assert main([*train, "--leave-out", "2"]) == main(["export", checkpoint, "--out", exported]) == 0
    assert "left out: the last 2 events of each user, 50 of 600 events" in capsys.readouterr().out
    one, printed = evaluated(capsys, checkpoint, path, "--score", "last")
    assert "history: 575 events" in printed
    assert "LEAK" not in printed
    page_at = tmp_path / "page.html"
    other, printed = evaluated(
        capsys, "--bundle", exported, "--events", path, "--score", "last", "--report", str(page_at)
    )
    assert "LEAK" not in printed
    assert "The last event of each of 25 users is scored." in page_at.read_text()
    for text in (printed, page_at.read_text()):
        assert "only the last event of each user is scored, which no event follows" in text
        assert "items of the next" not in text
    assert (other["events"], other["scored"], other["heads"]["churn"], one["heads"]["churn"]) == (25, "last", {}, {})
    for by, ranking in (("model", "metrics"), ("masked", "masked")):
        assert one["warm"][by]["mrr@20"] == pytest.approx(other[ranking]["warm"]["mrr@20"], abs=1e-3)
    part, printed = evaluated(capsys, "--bundle", exported, "--events", path, "--score", "last", "--rest", "0.9")
    assert part["events"] == len({event.user_id for event in log.split(0.9)[1].events()}) < 25
    assert part["events"] + part["history"]["events"] < 600, "the other users are no history of the scored users"

    assert main([*train, "--overwrite"]) == 0
    assert "LEAK: 25 of the scored events" in evaluated(capsys, checkpoint, path, "--score", "last")[1]
    for wrong, named in (
        (["evaluate", "--bundle", exported, "--events", path, "--score", "last", "--history", path], "leave --history"),
        ([*train[:-1], "never", "--leave-out", "2", "--from", checkpoint], "--leave-out 2 contradicts --from"),
        ([*train[:-1], "never", "--leave-out", "999"], "no user of"),
    ):
        assert main(wrong) == 1
        assert named in capsys.readouterr().err


def test_a_log_without_an_item_of_the_catalogue_is_refused(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = replace(random_log(), item_ids=[f"foreign-{number}" for number in range(len(random_log().item_ids))])
    log = str(write(foreign, tmp_path / "log.jsonl"))
    assert main(["evaluate", "--bundle", str(bundle.path), "--events", log]) == 1
    printed = " ".join(capsys.readouterr().err.split())
    assert f"has an item of {bundle.bundle_id}, and the first has item 'foreign-" in printed
    assert "check that the log and the bundle belong together" in printed
