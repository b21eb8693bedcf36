"""Which records are new to a retraining, by the reports of earlier runs."""

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from rich.console import Console

from export.runtime.bundle import Bundle
from streams.cli import main
from streams.commands.retrain.report import Report, read_reports, write_report
from streams.commands.retrain.retraining import FAILED, FAILED_FOR_NOW, FINISHED, NOTHING_NEW, Retraining
from streams.commands.retrain.stages import Request, Stage
from tests.support.archives import write_segment
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
    retraining = Retraining(runs, wanted, 1, Console(quiet=True))
    return retraining._before(topic_id, retraining._learned_from())[1]


def new_from(runs: Path, wanted: Request) -> dict[str, int]:
    retraining = Retraining(runs, wanted, 1, Console(quiet=True))
    return retraining._before("t", retraining._learned_from())[0]


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


def test_records_that_a_run_has_tried_to_learn_on_are_not_new(tmp_path: Path, champion: Bundle) -> None:
    """The challenger was not promoted, and the next run would train the same again."""
    write(tmp_path, "1", 100, bundle_id=champion.bundle_id)
    write(tmp_path, "2", 150, bundle_id="of another training")
    assert new_from(tmp_path, request(champion)) == {"0": 100}
    write(tmp_path, "3", 200, bundle_id="a challenger", learned_from=champion.bundle_id)
    write(tmp_path, "4", 250, bundle_id="another", learned_from="an earlier champion")
    assert new_from(tmp_path, request(champion)) == {"0": 200}
    assert before(tmp_path, request(champion)) == {"0": 100}


class Killed(BaseException):
    """The process was killed."""


def runs_of_a_tiny_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path, list[str]]:
    """A folder of runs, an archive of three records, and the stages that were executed. No process is started."""
    executed: list[str] = []

    def execute(_: Retraining, run: Path, stage: Stage) -> None:
        executed.append(stage.name)
        stage.exit_code = 0
        if stage.name == "export":
            tiny_bundle(run / "bundle", seed=1)

    write_segment(tmp_path / "archive", 0, 0, [0, 1000, 2000])
    monkeypatch.setattr(Retraining, "_execute", execute)
    return tmp_path / "runs", tmp_path / "archive", executed


def test_a_run_that_is_killed_at_the_link_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise nothing would run the new bundle, and the next call would find nothing new."""
    runs, archive, executed = runs_of_a_tiny_archive(tmp_path, monkeypatch)
    wanted = request(archive=str(archive))
    with monkeypatch.context() as patch:
        patch.setattr(Retraining, "_link", mock.Mock(side_effect=Killed))
        with pytest.raises(Killed):
            Retraining(runs, wanted, 1, Console(quiet=True)).run()
    assert Retraining(runs, wanted, 1, Console(quiet=True)).run() == FINISHED
    assert executed.count("train") == 1, "no training is repeated"
    assert (runs / "challenger" / "manifest.json").exists()
    assert Retraining(runs, wanted, 1, Console(quiet=True)).run() == NOTHING_NEW


def test_the_same_records_are_learned_on_once(
    tmp_path: Path, champion: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, archive, executed = runs_of_a_tiny_archive(tmp_path, monkeypatch)
    wanted = request(champion, archive=str(archive))
    codes = [Retraining(runs, wanted, 1, Console(quiet=True)).run() for _ in range(2)]
    assert codes == [FINISHED, NOTHING_NEW]
    assert executed == ["archive", "train", "export", "archive"]


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
