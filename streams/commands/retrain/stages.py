"""The stages of a retraining as commands of Thalweg, and the paths that they use. Pure."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

ARCHIVE, TRAIN, EXPORT, BACKFILL = "archive", "train", "export", "backfill"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What the user asks for. archive, champion: a folder each."""

    archive: str
    champion: str | None  # the bundle whose vector space the new bundle takes over
    learn_on: bool  # continue the training of the champion with the newer records alone
    backfill: bool
    train_options: tuple[str, ...] = ()


class Stage(msgspec.Struct, kw_only=True):
    """A command, and how the command ended. exit_code: None while the command has not ended."""

    name: str
    command: list[str]  # behind `thalweg`
    seconds: float = 0.0
    exit_code: int | None = None


def archive_stage(request: Request) -> Stage:
    """Bring the archive up to the present end of the topic."""
    return Stage(name=ARCHIVE, command=["archive", "--to", request.archive])


def later_stages(request: Request, run: Path, logs: Sequence[str]) -> list[Stage]:
    """Everything behind the archive. run: the folder of the run. logs: what the training reads."""
    checkpoint, bundle = str(run / "checkpoint"), str(bundle_of(run))
    train = ["train", *logs, "--out", checkpoint, *request.train_options]
    export = ["export", checkpoint, "--out", bundle, "--overwrite"]
    if request.champion is not None:
        train += ["--from", request.champion] if request.learn_on else []
        export += ["--aligned-to", request.champion]
    stages = [Stage(name=TRAIN, command=train), Stage(name=EXPORT, command=export)]
    if request.backfill:
        stages.append(Stage(name=BACKFILL, command=["backfill", "--bundle", bundle, "--from", request.archive]))
    return stages


def bundle_of(run: Path) -> Path:
    """The folder of the new bundle."""
    return run / "bundle"
