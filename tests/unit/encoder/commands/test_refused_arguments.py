"""What `thalweg` refuses before it reads a log: values out of range, folders that cannot be written, no torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from encoder.data.simulator import Shop, faulty_records
from streams import cli

TRAIN = ["train", "absent.jsonl", "--out", "never"]
EVALUATE = ["evaluate", "absent", "absent.jsonl"]
SIMULATE = ["simulate", "--out", "never"]


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        *((TRAIN, option, "0") for option in ("--max-epochs", "--width", "--layers", "--negatives", "--min-support")),
        *((TRAIN, option, "0") for option in ("--threads", "--tune", "--learning-rate", "--min-user-events")),
        *((TRAIN, "--seed", value) for value in ("-1", str(2**63), "1.5")),
        *((TRAIN, "--learning-rate", value) for value in ("nan", "inf", "-0.1", "fast")),
        (TRAIN, "--max-events-per-day", "-1"),
        *((TRAIN, option, value) for option in ("--first", "--rest") for value in ("1.1", "-0.1", "nan")),
        (EVALUATE, "--min-user-events", "-3"),
        (EVALUATE, "--threads", "-1"),
        *((["replay", "absent.jsonl"], "--rate", value) for value in ("0", "-5", "nan", "inf")),
        (["replay", "absent.jsonl"], "--rest", "2"),
        (["demo"], "--rate", "0"),
        *((SIMULATE, option, "0") for option in ("--events", "--users", "--items", "--days")),
        *((SIMULATE, option, value) for option in ("--churn", "--late", "--malformed") for value in ("-1", "2", "nan")),
        (SIMULATE, "--seed", "-1"),
        (SIMULATE, "--days", "30000"),
        (["dlq"], "--limit", "-1"),
        *((["monitor"], "--until-idle", value) for value in ("0", "-1", "nan", "inf")),
    ],
)
def test_a_value_out_of_range_is_refused_at_once(
    command: list[str], option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([*command, f"{option}={value}"])
    assert stopped.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"argument {option}: " in last
    assert value in last
    assert " is not a " in last


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "shop.jsonl"
    path.write_bytes(b"\n".join(value for _, value in faulty_records(Shop(7, 30, 20).simulate(400))))
    return path


def test_a_folder_that_cannot_be_written_is_named_before_the_log_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    for command in (["train", "absent.jsonl"], ["evaluate", "--bundle", "absent", "--events", "absent.jsonl"]):
        out = ["--out", f"{file}/out"] if command[0] == "train" else ["--report", f"{file}/out/page.html"]
        assert cli.main([*command, *out]) == 1
        printed = capsys.readouterr()
        assert f"{' '.join(out)} cannot be written: " in printed.err
        assert "name another folder" in printed.err
        assert printed.out == ""


def test_simulate_names_a_file_that_cannot_be_written_before_it_simulates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shop, "run", lambda *_: pytest.fail("the shop was simulated"))
    for out in (tmp_path, tmp_path / "absent" / "log.jsonl"):
        assert cli.main(["simulate", "--out", str(out)]) == 1
        assert f"--out {out} cannot be written: " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["page.html", "page.json"])
def test_a_folder_in_the_place_of_a_report_is_named_before_the_log_is_read(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).mkdir()
    report = str(tmp_path / "page.html")
    assert cli.main(["evaluate", "--bundle", "absent", "--events", "absent.jsonl", "--report", report]) == 1
    assert f"--report {report} cannot be written: {tmp_path / name} is a folder; name a file" in capsys.readouterr().err


def test_a_refused_simulation_keeps_the_log_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("kept")
    with pytest.raises(SystemExit):
        cli.main(["simulate", "--out", str(path), "--late", "1.5"])
    assert path.read_text() == "kept"


def test_a_folder_is_printed_as_it_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rich takes [red] for a colour and [/red] for an error."""
    (tmp_path / "[").mkdir()
    for name in ("[red] log.jsonl", "[/red] log.jsonl"):
        path = tmp_path / name
        assert cli.main(["simulate", "--out", str(path), "--events", "200", "--users", "9", "--items", "20"]) == 0
        assert name in capsys.readouterr().out


def test_a_missing_log_leaves_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", str(tmp_path / "absent.jsonl"), "--out", str(tmp_path / "a" / "b")]) == 1
    assert "cannot read the event log" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("topic", ["tracking", "behavior.events.v1"])
def test_a_topic_in_the_place_of_a_log_is_told_how_to_become_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, topic: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", topic, "--mapping", "segment", "--out", "model"]) == 1
    printed = capsys.readouterr().err
    assert f"write its events to a file with `thalweg map {topic} --mapping PRESET|FILE --events FILE`" in printed
    assert "Errno" not in printed
    for file in ("tracking.csv.gz", "logs/tracking"):
        assert cli.main(["train", file, "--out", "model"]) == 1
        assert "thalweg map" not in capsys.readouterr().err


def test_a_finished_checkpoint_is_replaced_only_on_request(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "checkpoint"
    train = ["train", str(log), "--out", str(out), "--max-epochs", "1", "--width", "8"]
    assert cli.main(train) == 0
    before = (out / "weights.pt").read_bytes()
    capsys.readouterr()
    assert cli.main([*train, "--seed", "5"]) == 1
    printed = capsys.readouterr()
    assert f"--out {out} has a finished checkpoint: name another folder, or add --overwrite" in printed.err
    assert printed.out == ""  # the log was not read
    assert (out / "weights.pt").read_bytes() == before
    assert cli.main([*train, "--seed", "5", "--overwrite"]) == 0
    assert (out / "weights.pt").read_bytes() != before


def test_a_bundle_is_no_folder_for_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    assert cli.main(["train", "absent.jsonl", "--out", str(tmp_path), "--overwrite"]) == 1
    assert "is a bundle: name another folder for the checkpoint" in capsys.readouterr().err


def test_a_training_that_diverges_ends_with_exit_code_1_and_no_checkpoint(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "checkpoint"
    train = ["train", str(log), "--out", str(out), "--max-epochs", "1", "--width", "8", "--learning-rate", "1e30"]
    assert cli.main([*train, "--json"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "thalweg train: epoch 1, step " in printed.err
    assert not (out / "checkpoint.json").exists()


@pytest.mark.parametrize("command", [TRAIN, EVALUATE, ["export", "absent", "--out", "never"]])
def test_a_missing_torch_is_one_line_before_anything_is_read(command: list[str]) -> None:
    code = "import sys; sys.modules['torch'] = None; from streams.cli import main; sys.exit(main(sys.argv[1:]))"
    root = Path(__file__).parents[4]
    ended = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=root, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert "needs torch, which is not installed: install Thalweg with its `train` extra" in line
