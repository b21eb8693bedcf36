"""Runs the stages of a retraining as child processes, and keeps the report.

A run that was stopped or has failed is continued by the next call with the same request, within 20 hours: the stages
that have ended are not repeated, and `thalweg train` and `thalweg backfill` go on where they were stopped.
"""

import contextlib
import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from encoder.data.loaders.tables.archive import archive_files
from export.runtime.bundle import Bundle
from streams.archive.opening import open_reader
from streams.commands.retrain.report import Report, read_reports, write_report
from streams.commands.retrain.stages import Request, Stage, archive_stage, bundle_of, later_stages
from streams.config.errors import InputError

CONTINUE_WITHIN = timedelta(hours=20)  # A command that runs each night begins anew.
SHOWN_LINES = 3
LINK = "challenger"
FINISHED, FAILED, NOTHING_NEW, FAILED_FOR_NOW = 0, 1, 3, 75  # 75: EX_TEMPFAIL of sysexits.h
# Tells an error that a retry may mend from other errors by its exit code.
_RUN_STAGE = f"import sys; from streams.cli import main; sys.exit(main(sys.argv[1:], {FAILED_FOR_NOW}))"


class Retraining:
    """One run in a folder of runs."""

    def __init__(self, runs: Path, request: Request, min_records: int, console: Console) -> None:
        """min_records: fewer new records in the archive are no reason to train."""
        self._runs = runs
        self._request = request
        self._min_records = min_records
        self._console = console
        self._lock_file = -1

    def run(self) -> int:
        """Run every stage that is left. Returns the exit code.

        Raises InputError where the folder of the runs cannot be used, and what `open_reader` raises.
        """
        with self._lock() as is_free:
            if not is_free:
                self._console.print(f"another retraining runs in {self._runs}: start again when the run has ended")
                return FAILED_FOR_NOW
            run, report = self._begin()
            return self._run(run, report)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[bool]:
        """Whether this process has the folder for itself. A stage that outlives this process keeps the lock."""
        try:
            self._runs.mkdir(parents=True, exist_ok=True)
            lock = (self._runs / "lock").open("ab")
        except OSError as error:
            raise InputError(f"the folder {self._runs} of --runs cannot be written: {error.strerror}") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            self._lock_file = lock.fileno()
            yield True

    def _begin(self) -> tuple[Path, Report]:
        now = datetime.now(UTC)
        for run, report in read_reports(self._runs)[:1]:
            is_recent = now - datetime.fromisoformat(report.started_at) < CONTINUE_WITHIN
            if report.status in ("running", "failed") and is_recent and report.request == self._request:
                self._console.print(f"the run in {run} is continued", soft_wrap=True)
                return run, report
        run = self._runs / now.strftime("%Y%m%dT%H%M%S.%fZ")
        run.mkdir()
        return run, Report(request=self._request, started_at=now.isoformat(), stages=[archive_stage(self._request)])

    def _run(self, run: Path, report: Report) -> int:
        report.status = "running"
        if not self._complete(run, report, report.stages[0]):
            return self._failed(report.stages[0])
        if not self._plan(run, report):
            report.status = "nothing new"
            write_report(run, report)
            return NOTHING_NEW
        for stage in report.stages[1:]:
            if not self._complete(run, report, stage):
                return self._failed(stage)
        report.status = "finished"
        report.bundle, report.bundle_id = str(bundle_of(run)), Bundle.load(bundle_of(run)).bundle_id
        write_report(run, report)
        self._link(run)
        return FINISHED

    def _complete(self, run: Path, report: Report, stage: Stage) -> bool:
        """Run the stage, unless the stage has ended well before. Returns False where the stage has failed."""
        if stage.exit_code == 0:
            return True
        write_report(run, report)
        self._execute(run, stage)
        if stage.exit_code != 0:
            report.status = "failed"
            write_report(run, report)
        return stage.exit_code == 0

    @staticmethod
    def _failed(stage: Stage) -> int:
        assert stage.exit_code is not None, "the stage has ended"
        return FAILED_FOR_NOW if stage.exit_code == FAILED_FOR_NOW or stage.exit_code < 0 else FAILED

    def _plan(self, run: Path, report: Report) -> bool:
        """Enter the stages behind the archive. False where the archive has too few new records.

        A run that is continued keeps its ends. Its files may have other names by now, because a user was removed.
        """
        if len(report.stages) == 1:
            reader = open_reader(self._request.archive)
            report.topic_id = reader.description.topic_id
            report.before = self._before(report.topic_id)
            report.ends = {str(partition): reader.end(partition) or 0 for partition in reader.partitions}
            report.new_records = sum(
                reader.records_from(partition, report.before.get(str(partition))) for partition in reader.partitions
            )
        if report.new_records < self._min_records:
            self._console.print(
                f"{report.new_records} records came since the last finished run, and --min-records asks for "
                f"{self._min_records}: nothing is trained",
                soft_wrap=True,
            )
            return False
        logs = self._newer_files(report.before) if self._request.learn_on else [self._request.archive]
        if not logs:
            self._console.print("the archive has no newer file to learn from: nothing is trained")
            return False
        ended = {stage.name: stage for stage in report.stages}
        later = later_stages(self._request, run, logs)
        report.stages[1:] = [
            ended[one.name] if one.name in ended and ended[one.name].exit_code == 0 else one for one in later
        ]
        return True

    def _before(self, topic_id: str) -> dict[str, int]:
        """The ends of the last finished run on this topic; with --learn-on, of the run that has made the champion."""
        request = self._request
        finished = [
            report
            for _, report in read_reports(self._runs)
            if report.status == "finished" and report.topic_id == topic_id and report.request.archive == request.archive
        ]
        if request.learn_on and request.champion is not None:
            champion = Bundle.load(request.champion).bundle_id
            finished = [report for report in finished if report.bundle_id == champion]
        return finished[0].ends if finished else {}

    def _newer_files(self, before: Mapping[str, int]) -> list[str]:
        """What holds the records behind these ends: the archive, or some of its files."""
        if not before:
            return [self._request.archive]
        newer = archive_files(Path(self._request.archive), {int(partition): end for partition, end in before.items()})
        return [str(path) for path in newer]

    def _execute(self, run: Path, stage: Stage) -> None:
        """Run the command of a stage. The output goes to a file, and the last lines of a failure to the console."""
        log = run / f"{stage.name}.log"
        self._console.print(f"{stage.name}: thalweg {' '.join(stage.command)}", soft_wrap=True, highlight=False)
        began_s = time.monotonic()
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", _RUN_STAGE, *stage.command],
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(self._lock_file,),
            )
            try:
                stage.exit_code = process.wait()
            except BaseException:  # a signal that ends this command ends the stage as well
                process.terminate()
                process.wait()
                raise
        stage.seconds = round(time.monotonic() - began_s, 1)
        if stage.exit_code != 0:
            lines = log.read_text(errors="replace").splitlines()[-SHOWN_LINES:]
            self._console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
            self._console.print(f"{stage.name} ended with exit code {stage.exit_code}: {log}", soft_wrap=True)

    def _link(self, run: Path) -> None:
        """Let `challenger` in the folder of the runs name the new bundle."""
        draft = self._runs / f"{LINK}.part"
        draft.unlink(missing_ok=True)
        draft.symlink_to(bundle_of(run).relative_to(self._runs), target_is_directory=True)
        draft.replace(self._runs / LINK)
