"""`thalweg train`: learn a model from an event log."""

import argparse
import json
import time
from types import TracebackType
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from encoder.commands.logs import (
    add_log_arguments,
    add_preparation_arguments,
    add_threads_argument,
    prepare_log,
    read_log,
)
from encoder.preparation import MAX_EVENTS_PER_DAY, Preparation
from encoder.training_settings import CELL_NAMES, LOSS_NAMES, SPACE, TrainingSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    defaults = TrainingSettings()
    add_log_arguments(parser)
    add_preparation_arguments(parser, Preparation(drop_repeats=True, max_events_per_day=MAX_EVENTS_PER_DAY))
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the checkpoint to write")
    parser.add_argument("--cell", choices=CELL_NAMES, default=defaults.cell, help=f"default {defaults.cell}")
    parser.add_argument("--loss", choices=LOSS_NAMES, default=defaults.loss, help=f"default {defaults.loss}")
    for name, text in (
        ("layers", "cells on top of each other"),
        ("width", "components of each layer's output and of the representation"),
        ("min_support", "events an item needs to be in the catalogue"),
        ("negatives", "items that --loss sampled and bpr-max draw for a step"),
        ("max_epochs", "passes over the log at most"),
        ("seed", "of weights and order"),
    ):
        default = getattr(defaults, name)
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=int, default=default, metavar="N", help=f"{text} (default {default})")
    parser.add_argument(
        "--week-hours", action="store_true", help="the hour of the week (UTC) is an input, too: for logs of some weeks"
    )
    parser.add_argument(
        "--tune", type=float, metavar="MINUTES", help="try other settings on the last part of the log for this long"
    )
    add_threads_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    console = Console(stderr=args.json)
    log, rows = read_log(args, console)
    log, preparation = prepare_log(args, log, console, args.min_support)
    # only now: torch takes seconds to load, and a log that cannot be used is named without it
    import torch

    from encoder import checkpoint
    from encoder.training import train, train_on_all
    from encoder.tuning import tune

    torch.set_num_threads(args.threads)
    settings = TrainingSettings(
        seed=args.seed,
        cell=args.cell,
        layers=args.layers,
        loss=args.loss,
        negatives=args.negatives,
        max_epochs=args.max_epochs,
        width=args.width,
        hidden=args.width,
        min_support=args.min_support,
        week_hours=args.week_hours,
    )
    started = time.perf_counter()
    with EpochBars(console) as bars:
        if args.tune is None:
            trained = train(log, settings, bars.show)
        else:
            settings, epochs = tune(log, settings, args.tune * 60, bars.tried)
            trained = train_on_all(log, settings, epochs, bars.show)
    seconds = time.perf_counter() - started
    origin = {"rows": rows.counts(), "preparation": msgspec.to_builtins(preparation)}
    checkpoint.save(trained, log, args.out, origin)
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

    def show(self, epoch: int, share: float, metrics: dict[str, float] | None) -> None:
        """A `encoder.training.Progress`."""
        self._bars.update(self._task, completed=share, number=epoch + 1)
        if metrics is not None:
            self._bars.console.print(
                f"epoch {epoch + 1:2d}  loss {metrics['loss']:.3f}  validation recall@20 {metrics['recall@20']:.4f}  "
                f"mrr@20 {metrics['mrr@20']:.4f}"
            )
