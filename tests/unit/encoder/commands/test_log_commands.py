"""What `thalweg train` and `thalweg evaluate` leave out of a log, print and record."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from encoder.training.checkpoints import checkpoint
from streams import cli

COLUMNS = "user_id=who,item_id=what,event_time_ms=at[s],action:=see"
Thalweg = Callable[..., str]


@pytest.fixture
def thalweg(capsys: pytest.CaptureFixture[str]) -> Thalweg:
    def run(*arguments: object) -> str:
        assert cli.main([str(argument) for argument in arguments]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Write a log of 40 users with 10 events each, the first of them twice, and of a robot with 30 events in 30 s."""
    rows = [(f"u{user}", f"i{(user + n) % 7}", user * 100 + n * 7_200) for user in range(40) for n in range(10)]
    rows += rows[::10]
    rows += [("robot", f"i{n % 7}", 50_000 + n) for n in range(30)]
    path = tmp_path / "log.csv"
    path.write_text("who,what,at\n" + "".join(f"{who},{what},{at}\n" for who, what, at in rows) + "broken\n")
    return path


def test_train_prepares_a_log_and_records_it_and_evaluate_prepares_only_on_request(
    thalweg: Thalweg, log: Path, tmp_path: Path
) -> None:
    out = tmp_path / "checkpoint"
    train = ["train", log, "--columns", COLUMNS, "--out", out, "--max-epochs", 1, "--width", 8]
    printed = thalweg(*train, "--max-events-per-day", 20, "--min-support", 2)
    for line in (
        "471 rows: 470 kept, 0 duplicates, 1 unparsable",
        "400 of 470 events after preparation",
        "40 exact repeats (same user, item, action and time): left out",
        "1 user above 20 events in 24 hours (bots), with 30 events: left out",
        "0 of 7 items below 2 events, with 0 events: too rare to enter the catalogue as new items",
        "missing: category in 400, price in 400, brand in 400",
    ):
        assert line in printed
    data = checkpoint.load(out).description.data
    assert data["rows"] == {"rows": 471, "kept": 470, "duplicates": 0, "unparsable": 1}
    assert (data["events"], data["preparation"]["repeats"], data["preparation"]["bot_events"]) == (400, 40, 30)
    assert data["preparation"]["settings"]["max_events_per_day"] == 20

    def evaluated(*arguments: object) -> int:
        lines = thalweg("evaluate", out, log, "--columns", COLUMNS, "--json", *arguments)
        result = json.loads(lines.splitlines()[-1])
        return int(result["warm"]["model"]["n"] + result["first"]["model"]["n"])

    assert evaluated() == 470
    assert evaluated("--drop-repeats", "--max-events-per-day", 20) == 400
    assert "430 of 470 events" in thalweg(*train, "--overwrite")
    assert "470 of 470 events" in thalweg(*train, "--overwrite", "--no-drop-repeats", "--max-events-per-day", 0)


def test_an_item_of_one_event_is_in_the_catalogue_unless_the_support_is_higher(
    thalweg: Thalweg, log: Path, tmp_path: Path
) -> None:
    with log.open("a") as file:
        file.write("u1,once,9999\n")
    train = ["train", log, "--columns", COLUMNS, "--out", tmp_path / "out", "--max-epochs", 1, "--width", 8]
    for arguments, items in (((), 8), (("--overwrite", "--min-support", 2), 7)):
        result = json.loads(thalweg(*train, *arguments, "--json").splitlines()[-1])
        assert result["items"] == items


def test_train_shows_counting_beside_the_model_and_warns_below_it(thalweg: Thalweg, tmp_path: Path) -> None:
    """Each of 60 items always follows the same other item. Counting knows that, and vectors of two numbers cannot."""
    out, bundle, log = tmp_path / "checkpoint", tmp_path / "bundle", tmp_path / "round.csv"
    rows = [(f"u{user}", f"i{(7 * user + n) % 60}", user * 100 + n) for user in range(60) for n in range(10)]
    log.write_text("who,what,at\n" + "".join(f"{who},{what},{at}\n" for who, what, at in rows))
    train = ["train", log, "--columns", COLUMNS, "--width", 2, "--max-epochs", 1, "--learning-rate", 1e-6, "--out", out]
    printed = thalweg(*train)
    rows = [line for line in printed.splitlines() if "  validation recall@20 " in line]
    assert [row.split("  ")[0] for row in rows] == ["popularity", "after the last item", "sequential rules", "epoch"]
    assert len({row.index("validation") for row in rows}) == 1
    result = json.loads(thalweg(*train, "--overwrite", "--json").splitlines()[-1])
    warning, of_model, counted = result["warning"], result["validation"], result["baselines"]
    best = max(metrics["mrr@20"] for metrics in counted.values())
    assert f"the model's mrr@20 of {of_model['mrr@20']:.4f} is below the {best:.4f} that counting alone" in warning
    assert warning in printed
    assert result["search"] is None
    stored = checkpoint.load(out).description.baselines
    assert stored.keys() == counted.keys()
    assert stored["last_item"]["mrr@20"] == pytest.approx(counted["last_item"]["mrr@20"], abs=1e-4)
    manifest = json.loads(thalweg("export", out, "--out", bundle, "--json").splitlines()[-1])
    assert manifest["metrics"]["baselines"] == stored


def test_a_search_without_time_says_so(thalweg: Thalweg, log: Path, tmp_path: Path) -> None:
    train = ["train", log, "--columns", COLUMNS, "--max-epochs", 1, "--width", 8, "--out", tmp_path / "c"]
    printed = thalweg(*train, "--tune", 0.001)
    assert "The time was enough for one trial: the first settings stay; give --tune more minutes" in printed
    result = json.loads(thalweg(*train, "--overwrite", "--tune", 0.001, "--json").splitlines()[-1])
    assert result["search"] == {"trials": 1, "is_first_kept": True}


def test_an_error_names_the_options_that_leave_no_event(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", log, "--columns", COLUMNS, "--out", log.parent / "never", "--min-user-events", 99]
    assert cli.main([str(argument) for argument in arguments]) == 1
    printed = capsys.readouterr()
    assert "41 users below 99 events, with 430 events: left out" in printed.out
    assert "is left: check --max-events-per-day and --min-user-events" in printed.err


def test_preparation_comes_after_the_cut_in_time(thalweg: Thalweg, log: Path, tmp_path: Path) -> None:
    train = ["train", log, "--columns", COLUMNS, "--out", tmp_path / "c", "--max-epochs", 1, "--width", 8]
    first = thalweg(*train, "--first", 0.5)
    assert "of 235 events after preparation" in first  # the cut comes before preparation, as in `thalweg replay`


def test_an_evaluation_on_the_training_log_is_reported_as_leakage(thalweg: Thalweg, log: Path, tmp_path: Path) -> None:
    out, of = tmp_path / "c", [log, "--columns", COLUMNS]
    thalweg("train", *of, "--out", out, "--first", 0.5, "--max-epochs", 1, "--width", 8)
    assert f"not later than the last event of the training log of {out}" in thalweg("evaluate", out, *of)
    later = ["evaluate", out, *of, "--rest", 0.6]
    assert "LEAK" not in thalweg(*later)
    assert json.loads(thalweg(*later, "--json").splitlines()[-1])["leak"]["not_later"] == 0


def test_export_adds_items_from_any_log_that_training_can_read(thalweg: Thalweg, log: Path, tmp_path: Path) -> None:
    out, columns = tmp_path / "c", f"{COLUMNS},category=what"
    thalweg("train", log, "--columns", columns, "--out", out, "--max-epochs", 1, "--width", 8)
    newer = tmp_path / "newer.csv"
    newer.write_text("who,what,at\nu0,new,9000\n")
    printed = thalweg("export", out, "--items", newer, "--columns", columns, "--out", tmp_path / "bundle")
    assert "1 of these items are untrained" in printed


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_log_that_is_mostly_misread_stops_the_command(
    thalweg: Thalweg, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """The log has 471 rows, of which one is broken. With the broken rows, 6 of 476 rows are no events."""
    out = tmp_path / "checkpoint"
    train = ["train", log, "--columns", COLUMNS, "--out", out, "--overwrite", "--max-epochs", 1, "--width", 8]
    thalweg(*train)
    with log.open("a") as file:
        file.write("u1,i1,soon\nu1,i2\nu1,i3\nu1\nu1\n")
    arguments = train if command == "train" else ["evaluate", out, log, "--columns", COLUMNS]
    assert cli.main([str(argument) for argument in arguments]) == 1
    printed = capsys.readouterr()
    assert "476 rows: 470 kept, 0 duplicates, 6 unparsable" in printed.out
    for part in (
        f"6 of 476 rows of {log} are no events, a share of 0.0126, and --max-unparsable allows 0.01",
        "5 of these rows have the most frequent reason, first line 472: 1 instead of 3 columns: broken",
        "check --format, --columns and --mapping, or leave these rows out with a larger --max-unparsable SHARE",
    ):
        assert part in printed.err
    assert "470 kept" in thalweg(*arguments, "--max-unparsable", 0.02)
    with pytest.raises(SystemExit):
        cli.main([str(argument) for argument in [*arguments, "--max-unparsable", 2]])
    assert "argument --max-unparsable: 2 is not a number from 0 to 1" in capsys.readouterr().err


def test_a_broken_price_costs_no_event_of_a_training_and_is_counted(
    thalweg: Thalweg, log: Path, tmp_path: Path
) -> None:
    text = log.read_text().replace("broken\n", "").replace("\n", ",-1\n").replace("who,what,at,-1", "who,what,at,price")
    log.write_text(text.replace(",-1\n", ",free\n", 3))
    printed = thalweg(
        *("train", log, "--columns", COLUMNS, "--out", tmp_path / "c", "--max-epochs", 1, "--width", 8),
    )
    assert "470 rows: 470 kept, 0 duplicates, 0 unparsable" in printed
    assert "  without price (negative): 467 events, first line 5: -1.0" in printed
    assert '  without price (not a number): 3 events, first line 2: "free"' in printed
    without = thalweg(
        *("train", log, "--columns", f"{COLUMNS},price=", "--out", tmp_path / "d", "--max-epochs", 1, "--width", 8)
    )
    assert "without price" not in without


def test_a_log_of_a_foreign_topic_is_read_by_a_mapping(thalweg: Thalweg, tmp_path: Path) -> None:
    records = [
        {
            "type": "track",
            "messageId": f"m-{user}-{n}",
            "userId": f"u{user}",
            "event": "Product Viewed" if n % 5 else "Cart Viewed",
            "timestamp": 1_772_359_200_000 + user * 100_000 + n * 7_200_000,
            "properties": {"product_id": f"i{(user + n) % 7}"},
        }
        for user in range(40)
        for n in range(10)
    ]
    log = tmp_path / "topic.jsonl"
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    out = tmp_path / "checkpoint"
    printed = thalweg("train", log, "--mapping", "segment", "--out", out, "--max-epochs", 1, "--width", 8)
    assert "320 rows: 320 kept, 0 duplicates, 0 unparsable, and 80 records that are no events by the mapping" in printed
    assert 'skipped (action): 80 with "Cart Viewed"' in printed
    rows = {"rows": 320, "kept": 320, "duplicates": 0, "unparsable": 0, "skipped": 80}
    assert checkpoint.load(out).description.data["rows"] == rows
    result = json.loads(thalweg("evaluate", out, log, "--mapping", "segment", "--json").splitlines()[-1])
    assert result["warm"]["model"]["n"] + result["first"]["model"]["n"] == 320
