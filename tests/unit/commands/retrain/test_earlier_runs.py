"""Which records are new to a retraining, by the reports of earlier runs."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from export.runtime.bundle import Bundle
from streams.cli import main
from streams.commands.retrain.report import Report, read_reports, write_report
from streams.commands.retrain.retraining import FAILED, FAILED_FOR_NOW, Retraining
from streams.commands.retrain.stages import Request, Stage
from tests.support.bundles import tiny_bundle


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"))


def request(champion: Bundle | None = None, **changes: Any) -> Request:
    fields: dict[str, Any] = {
        "archive": "a",
        "champion": None if champion is None else str(champion.path),
        "learn_on": champion is not None,
        "backfill": False,
    }
    return Request(**(fields | changes))


def before(runs: Path, wanted: Request, topic_id: str = "t") -> dict[str, int]:
    return Retraining(runs, wanted, 1, Console(quiet=True))._before(topic_id)


def write(runs: Path, name: str, end: int, **changes: Any) -> None:
    (runs / name).mkdir()
    fields: dict[str, Any] = {"request": request(), "started_at": "x", "status": "finished", "topic_id": "t"}
    write_report(runs / name, Report(**(fields | {"ends": {"0": end}} | changes)))


def test_the_last_finished_run_of_the_archive_counts(tmp_path: Path) -> None:
    write(tmp_path, "1", 100)
    write(tmp_path, "2", 200, status="failed")
    write(tmp_path, "3", 300, request=request(archive="b"))
    assert before(tmp_path, request()) == {"0": 100}
    assert before(tmp_path, request(), "another incarnation of the topic") == {}


def test_the_champion_learns_on_from_the_records_of_its_own_run(tmp_path: Path, champion: Bundle) -> None:
    write(tmp_path, "1", 100, bundle_id=champion.bundle_id)
    write(tmp_path, "2", 200, bundle_id="a challenger that was not promoted")
    assert before(tmp_path, request(champion)) == {"0": 100}
    assert before(tmp_path, request(champion, learn_on=False)) == {"0": 200}


def test_a_report_that_was_cut_off_is_no_run(tmp_path: Path) -> None:
    write(tmp_path, "1", 100)
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "report.json").write_text("{")
    assert [run.name for run, _ in read_reports(tmp_path)] == ["1"]


@pytest.mark.parametrize(("exit_code", "code"), [(75, FAILED_FOR_NOW), (-9, FAILED_FOR_NOW), (1, FAILED), (2, FAILED)])
def test_a_scheduler_learns_whether_a_retry_may_help(exit_code: int, code: int) -> None:
    assert Retraining._failed(Stage(name="train", command=[], exit_code=exit_code)) == code


def test_a_champion_that_is_no_bundle_is_refused_before_the_archive_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive, runs = str(tmp_path / "archive"), str(tmp_path / "runs")
    assert main(["retrain", "--archive", archive, "--runs", runs, "--champion", str(tmp_path / "nope")]) == 1
    assert "no bundle at" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
