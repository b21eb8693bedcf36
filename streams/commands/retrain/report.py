"""The report of a retraining: a JSON file in the folder of the run, which is written after every stage."""

import os
from pathlib import Path
from typing import Literal

import msgspec

from streams.commands.retrain.stages import Request, Stage
from streams.config.errors import InputError

NAME = "report.json"


class Report(msgspec.Struct, kw_only=True):
    """What a retraining did.

    topic_id: the incarnation of the topic that the archive holds. learned_from: with --learn-on, the id of the champion
    whose training was continued. before, ends: by the number of the partition, the
    offset behind the last record that earlier runs have used, and behind the archive's last one.
    """

    request: Request
    started_at: str  # ISO 8601, UTC
    status: Literal["running", "finished", "failed", "nothing new"] = "running"
    topic_id: str | None = None
    learned_from: str | None = None
    before: dict[str, int] = {}
    ends: dict[str, int] = {}
    new_records: int = 0
    stages: list[Stage] = []
    bundle: str | None = None  # the folder
    bundle_id: str | None = None


def write_report(run: Path, report: Report) -> None:
    """Replace the report as a whole. Raises InputError where the folder cannot be written."""
    draft = run / f"{NAME}.part"
    try:
        draft.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
        os.replace(draft, run / NAME)
    except OSError as error:
        raise InputError(f"{run / NAME} cannot be written: {error.strerror}") from None


def read_reports(runs: Path) -> list[tuple[Path, Report]]:
    """The runs of a folder with their reports, the latest first. A run without a readable report is left out.

    A run that was killed before its first report has done nothing.
    """
    found = []
    for path in sorted(runs.glob(f"*/{NAME}"), reverse=True):
        if path.parent.is_symlink():
            continue
        try:
            found.append((path.parent, msgspec.json.decode(path.read_bytes(), type=Report)))
        except (OSError, msgspec.MsgspecError):
            continue
    return found
