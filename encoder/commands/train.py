"""`thalweg train`: learn a model from an event log."""

import argparse
import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from encoder.commands.checkpoints import checkpoint_folder, trained_settings
from encoder.commands.logs import (
    add_log_arguments,
    add_preparation_arguments,
    add_threads_argument,
    prepare_log,
    read_log,
)
from encoder.data.event_log import EventLog
from encoder.data.preparation import MAX_EVENTS_PER_DAY, Preparation
from encoder.errors import InputError
from encoder.training.settings import BATCHING_NAMES, CELL_NAMES, FROM_EPOCHS, LOSS_NAMES, SPACE, TrainingSettings

if TYPE_CHECKING:
    from encoder.training.fit import Trained
    from encoder.training.unfinished import Snapshot, Unfinished


# Options that are settings by name, and those of them that a trained model has settled.
SETTINGS = (
    ("layers", "cells on top of each other"),
    ("width", "components of each layer's output and of the representation"),
    ("min_support", "events an item needs to be in the catalogue"),
    ("negatives", "items that --loss sampled and bpr-max draw for a step"),
    ("max_epochs", f"passes over the log at most, with --from {FROM_EPOCHS}"),
    ("seed", "of weights and order"),
)
NAMES = (*(name for name, _ in SETTINGS), "cell", "loss", "batching", "week_hours")
SHAPE = ("cell", "layers", "width", "week_hours")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    defaults = TrainingSettings()
    add_log_arguments(parser)
    add_preparation_arguments(parser, Preparation(drop_repeats=True, max_events_per_day=MAX_EVENTS_PER_DAY))
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder of the checkpoint to write; a training that was stopped goes on from its last epoch if the same "
        "command is given again",
    )
    parser.add_argument(
        "--from",
        dest="base",
        metavar="PATH",
        help="learn on from this checkpoint or bundle: LOG has the newer events; settings not given are its own",
    )
    # No defaults here: what is not given is that of --from.
    parser.add_argument("--cell", choices=CELL_NAMES, help=f"default {defaults.cell}")
    parser.add_argument("--loss", choices=LOSS_NAMES, help=f"default {defaults.loss}")
    parser.add_argument(
        "--batching",
        choices=BATCHING_NAMES,
        help="what stands beside each other in a batch: users of similar length, or lanes that each walk through one "
        f"user after another (default {defaults.batching})",
    )
    for name, text in SETTINGS:
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=int, metavar="N", help=f"{text} (default {getattr(defaults, name)})")
    parser.add_argument(
        "--week-hours",
        action="store_true",
        default=None,
        help="the hour of the week (UTC) is an input, too: for logs of some weeks",
    )
    parser.add_argument(
        "--tune",
        type=float,
        metavar="MINUTES",
        help="try other settings on the last part of the log for this long; begins anew when stopped",
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a CUDA device where there is one"
    )
    add_threads_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    if args.tune is not None and "WORLD_SIZE" in os.environ:
        raise InputError("--tune goes by the clock, which processes do not share: start it without torchrun")
    base = None if args.base is None else given_base(args)
    is_first = int(os.environ.get("RANK", 0)) == 0  # of the processes that torchrun started: the one that speaks
    console = Console(stderr=args.json, quiet=not is_first)
    log, rows = read_log(args, console)
    settings = given_settings(args, TrainingSettings() if base is None else trained_settings(base))
    log, preparation = prepare_log(args, log, console, settings.min_support)
    started = time.perf_counter()
    trained, unfinished, origin = fit(args, log, settings, base, console)
    seconds = time.perf_counter() - started
    if not is_first:
        return 0
    # only now: torch takes seconds to load, and a log that cannot be used is named without it
    from encoder.training import checkpoint

    origin |= {"rows": rows.counts(), "preparation": msgspec.to_builtins(preparation)}
    checkpoint.save(trained, log, args.out, origin)
    if unfinished is not None:
        unfinished.remove()
    result: dict[str, Any] = {
        "checkpoint": args.out,
        "events": len(log),
        "items": len(trained.vocabulary.items),
        "epochs": len(trained.epochs),
        "train_s": round(seconds, 1),
        "validation": {name: round(value, 4) for name, value in trained.metrics.items()},
    }
    console.print(
        f"{len(log):,} events, {result['items']:,} items, {result['epochs']} epochs in {seconds:.0f} s. "
        f"Checkpoint in {args.out}"
    )
    if args.json:
        print(json.dumps(result))
    return 0


def fit(
    args: argparse.Namespace, log: EventLog, settings: TrainingSettings, base: Path | None, console: Console
) -> "tuple[Trained, Unfinished | None, dict[str, Any]]":
    """What was trained, what of it is kept until it is written, and which checkpoint it learnt on from, if from one."""
    import torch

    from encoder.training import checkpoint
    from encoder.training.compute import Compute
    from encoder.training.fit import train, train_on_all
    from encoder.training.start import FromLog, FromModel, Start
    from encoder.training.tuning import tune
    from encoder.training.unfinished import Unfinished

    torch.set_num_threads(args.threads)
    start: Start = FromLog()
    origin: dict[str, Any] = {}
    if base is not None:
        known = checkpoint.load(base)
        start, origin = FromModel(known.model, known.vocabulary, known.baselines), {"from": known.identity}
    with EpochBars(console) as bars, Compute.start(args.device) as compute:
        if args.tune is not None:
            settings, epochs = tune(log, settings, args.tune * 60, bars.tried, compute=compute)
            return train_on_all(log, settings, epochs, bars.show, compute=compute), None, origin
        where = {"processes": compute.ranks, "device": compute.device.type}
        identity = {"log": checkpoint.fingerprint(log), "settings": settings, **where, **origin}
        unfinished = Unfinished(args.out, identity)
        bars.found(unfinished.found, unfinished.was_refused)
        return train(log, settings, bars.show, start=start, compute=compute, unfinished=unfinished), unfinished, origin


def given_base(args: argparse.Namespace) -> Path:
    """The checkpoint that --from names. Raises InputError where there is none or the other arguments forbid it."""
    if args.tune is not None:
        raise InputError("--tune looks for a shape, --from keeps the one there is: leave out one of them")
    base = checkpoint_folder(args.base)
    if Path(args.out).resolve() in (base.resolve(), Path(args.base).resolve()):
        raise InputError(f"--out {args.out} would replace what --from learns on from: name another folder with --out")
    return base


def given_settings(args: argparse.Namespace, defaults: TrainingSettings) -> TrainingSettings:
    """The defaults with what the arguments give. Raises InputError where that contradicts the shape of --from."""
    if args.base is not None:
        defaults = msgspec.structs.replace(defaults, max_epochs=FROM_EPOCHS)
    given = {name: value for name in NAMES if (value := getattr(args, name)) is not None}
    if args.base is not None:
        for name in SHAPE:
            trained = getattr(defaults, name)
            if given.get(name, trained) != trained:
                raise InputError(
                    f"--{name.replace('_', '-')} {given[name]} contradicts --from {args.base}, which has {trained}: a "
                    "trained model keeps its shape; leave the option out, or train anew without --from"
                )
    if "width" in given:
        given["hidden"] = given["width"]
    return msgspec.structs.replace(defaults, **given)


class EpochBars:
    """A bar for the running epoch and a line for each one done."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("epoch {task.fields[number]}"), BarColumn(), TimeElapsedColumn(), console=console, transient=True
        )
        self._task = self._bars.add_task("", total=1.0, number=1)

    def __enter__(self) -> "EpochBars":
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()

    def tried(self, settings: TrainingSettings, metrics: dict[str, float], is_best: bool) -> None:
        """A `encoder.tuning.Tried`."""
        values = ", ".join(f"{name} {getattr(settings, name)}" for name in SPACE)
        mark = "  best so far" if is_best else ""
        self._bars.console.print(f"validation mrr@20 {metrics['mrr@20']:.4f} by {values}{mark}", highlight=False)

    def found(self, snapshot: "Snapshot | None", was_refused: bool) -> None:
        """Say what an earlier training has left in the folder."""
        if was_refused:
            self._bars.console.print("The unfinished training there is of another log or other settings: starts over")
        elif snapshot is not None:
            epochs = len(snapshot.epochs) + snapshot.passes
            self._bars.console.print(f"Goes on after epoch {epochs} of a training that was stopped", highlight=False)

    def show(self, epoch: int, share: float, metrics: dict[str, float] | None) -> None:
        """A `encoder.training.Progress`."""
        self._bars.update(self._task, completed=share, number=epoch + 1)
        if metrics is not None:
            self._bars.console.print(
                f"epoch {epoch + 1:2d}  loss {metrics['loss']:.3f}  validation recall@20 {metrics['recall@20']:.4f}  "
                f"mrr@20 {metrics['mrr@20']:.4f}"
            )
