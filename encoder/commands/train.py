"""`thalweg train`: trains a model on an event log."""

import argparse
import json
import os
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from rich.console import Console

from encoder.commands.embedding_arguments import (
    add_embeddings_argument,
    check_items,
    items_with_events,
    print_coverage,
    print_missing_sources,
    read_item_embeddings,
)
from encoder.commands.log_arguments import (
    add_leave_out_argument,
    add_log_arguments,
    add_max_unparsable_argument,
    add_preparation_arguments,
    add_threads_argument,
    prepare_log,
    read_training_log,
)
from encoder.commands.memory import check_memory
from encoder.commands.number_arguments import positive
from encoder.commands.preconditions import check_torch, check_writable
from encoder.commands.setting_arguments import add_setting_arguments, requested_settings
from encoder.commands.training_progress import TrainingProgress
from encoder.console import open_console
from encoder.data.event_log import EventLog
from encoder.data.preparation import MAX_EVENTS_PER_DAY, Preparation
from encoder.errors import InputError
from encoder.item_embeddings.embeddings import ItemEmbeddings
from encoder.lineage import Dataset, lineage
from encoder.training.checkpoints.checkpoint_files import checkpoint_folder, trained_settings
from encoder.training.settings import CONTINUED_MAX_EPOCHS, SEARCH_SPACE, TrainingSettings

if TYPE_CHECKING:
    from encoder.training.initialization import Initialization
    from encoder.training.snapshots import SnapshotFile
    from encoder.training.train import Trained
    from encoder.training.tuning import Search


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `thalweg train`."""
    add_log_arguments(parser)
    add_leave_out_argument(parser)
    add_max_unparsable_argument(parser)
    add_preparation_arguments(parser, Preparation(drop_repeats=True, max_events_per_day=MAX_EVENTS_PER_DAY))
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder of the checkpoint to write; the same command continues a training that was stopped after its "
        "last finished epoch",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a finished checkpoint in the folder of --out")
    parser.add_argument(
        "--from",
        dest="base",
        metavar="PATH",
        help="continue the training of this checkpoint or bundle; LOG has the newer events; settings that are not "
        "given are those of the checkpoint",
    )
    add_embeddings_argument(parser, "with --from, those of new items")
    add_setting_arguments(parser)
    parser.add_argument(
        "--tune",
        type=positive,
        metavar="MINUTES",
        help="search for better settings on the last part of the log for this time; a search that was stopped begins "
        "anew",
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a CUDA device if there is one"
    )
    add_threads_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    """Run `thalweg train`. Returns the exit code."""
    inputs = [Dataset.at(path) for path in (*args.log, *([] if args.base is None else [args.base]))]
    with lineage("train", inputs, [Dataset.at(args.out)]) if _is_first() else nullcontext():
        return _train(args)


def _is_first() -> bool:
    """Whether this is the first of torchrun's processes, which alone prints, writes and tells."""
    return int(os.environ.get("RANK", 0)) == 0


def _train(args: argparse.Namespace) -> int:
    check_torch("training")
    if args.tune is not None and "WORLD_SIZE" in os.environ:
        raise InputError("--tune depends on the clock, which several processes do not share: start it without torchrun")
    base = None if args.base is None else base_folder(args)
    check_output(args)
    console = open_console(stderr=args.json, quiet=not _is_first())
    embeddings = read_item_embeddings(args)
    log, rows = read_training_log(args, console)
    settings = requested_settings(args, TrainingSettings() if base is None else trained_settings(base))
    log, preparation = prepare_log(args, log, console, settings.min_support)
    check_items(embeddings, items := items_with_events(log), str(args.log))
    print_coverage(console, embeddings, items)
    check_memory(len(log), len(items), settings, console)
    started = time.perf_counter()
    try:
        fitted = fit(args, log, settings, base, embeddings, console)
        train_s = time.perf_counter() - started
        if not _is_first():
            return 0
        from encoder.training.checkpoints import checkpoint  # loads torch

        origin = {**fitted.origin, "rows": rows.counts(), "preparation": msgspec.to_builtins(preparation)}
        if args.sample_users < 1:
            origin["sample_users"] = args.sample_users
        if args.leave_out is not None:
            origin["leave_out"] = args.leave_out
        checkpoint.save(fitted.trained, log, args.out, origin, fitted.baselines)
        if fitted.snapshots is not None:
            fitted.snapshots.remove()
    except OSError as error:
        raise InputError(
            f"a file of the training cannot be read or written: {error}; --out {args.out} has no finished checkpoint"
        ) from None
    result = _result(args, log, fitted, train_s)
    if fitted.warning is not None:
        console.print(fitted.warning, style="bold red", soft_wrap=True, highlight=False, markup=False)
    console.print(
        f"{len(log):,} events, {result['items']:,} items, {result['epochs']} epochs in {train_s:.0f} s. "
        f"Checkpoint in {args.out}",
        markup=False,
        soft_wrap=True,
    )
    if args.json:
        print(json.dumps(result))
    return 0


def _result(args: argparse.Namespace, log: EventLog, fitted: "Fitted", train_s: float) -> dict[str, Any]:
    """The JSON of a training."""
    trained = fitted.trained
    return {
        "checkpoint": args.out,
        "events": len(log),
        "items": len(trained.vocabulary.items),
        "epochs": len(trained.epochs),
        "train_s": round(train_s, 1),
        "validation": _rounded(trained.metrics),
        "baselines": {name: _rounded(metrics) for name, metrics in fitted.baselines.items()},
        "warning": fitted.warning,
        "search": None if fitted.search is None else _search_result(fitted.search),
    }


def _rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in metrics.items()}


def _search_result(search: "Search") -> dict[str, Any]:
    """The JSON of a search. Without a better trial than the first, there are no figures of the best trial."""
    result: dict[str, Any] = {"trials": search.trials, "is_first_kept": True}
    if (found := search.confirmation) is not None:
        result["is_first_kept"] = not found.is_significant
        result["best"] = {name: getattr(found.settings, name) for name in SEARCH_SPACE}
        result |= _rounded({"mrr@20": found.mrr, "first_mrr@20": found.first_mrr, "p": found.p})
    return result


class Fitted(NamedTuple):
    """A trained model, and what the command prints and stores about it."""

    trained: "Trained"
    baselines: dict[str, dict[str, float]]  # of `encoder.training.train.validate_baselines`
    warning: str | None  # that the model is below a baseline
    search: "Search | None"
    snapshots: "SnapshotFile | None"  # to remove once the model is saved
    origin: dict[str, Any]  # of `make_initialization`


def fit(
    args: argparse.Namespace,
    log: EventLog,
    settings: TrainingSettings,
    base: Path | None,
    embeddings: tuple[ItemEmbeddings, ...],
    console: Console,
) -> Fitted:
    """Train a model. base: folder of the checkpoint from which the training continues, or None."""
    import torch

    from encoder.training.checkpoints import checkpoint
    from encoder.training.compute import Compute
    from encoder.training.snapshots import SnapshotFile
    from encoder.training.train import train, train_on_all, validate_baselines
    from encoder.training.tuning import tune
    from encoder.training.validation import counting_warning

    torch.set_num_threads(args.threads)
    initialization, origin = make_initialization(base, embeddings, console)
    snapshots, search = None, None
    with TrainingProgress(console, settings.max_epochs) as progress, Compute.start(args.device) as compute:
        baselines = validate_baselines(log, settings, initialization=initialization)
        progress.on_baselines(baselines)
        if args.tune is not None:
            shared: dict[str, Any] = {"initialization": initialization, "compute": compute}
            search = tune(log, settings, args.tune * 60, progress.on_trial, **shared)
            progress.on_search(search)
            trained = train_on_all(log, search.settings, search.validation, progress.on_epoch, **shared)
        else:
            resources = {"processes": compute.world_size, "device": compute.device.type}
            identity = {"log": checkpoint.fingerprint(log), "settings": settings, **resources, **origin}
            snapshots = SnapshotFile(args.out, identity)
            progress.on_start(snapshots)
            trained = train(
                log,
                settings,
                progress.on_epoch,
                initialization=initialization,
                compute=compute,
                snapshots=snapshots,
            )
    default = TrainingSettings().max_epochs if base is None else CONTINUED_MAX_EPOCHS
    lowered = settings.max_epochs if settings.max_epochs < default else None
    warning = counting_warning(trained.metrics, baselines, is_searched=search is not None, lowered_epochs=lowered)
    return Fitted(trained, baselines, warning, search, snapshots, origin)


def make_initialization(
    base: Path | None, embeddings: tuple[ItemEmbeddings, ...], console: Console
) -> "tuple[Initialization, dict[str, Any]]":
    """The initialization of a training, and its origin: the base checkpoint and the embeddings, where there are any."""
    from encoder.training.checkpoints import checkpoint
    from encoder.training.initialization import FromScratch, FromTrainedModel

    origin: dict[str, Any] = {}
    if embeddings:
        origin["item_embeddings"] = {source.name: source.fingerprint() for source in embeddings}
    if base is None:
        return FromScratch(embeddings), origin
    known = checkpoint.load(base)
    print_missing_sources(console, known.model.config.item_embeddings, embeddings)
    origin["from"] = known.identity
    return FromTrainedModel(known.model, known.vocabulary, known.baselines, embeddings, known.companions), origin


def check_output(args: argparse.Namespace) -> None:
    """Raise InputError when the folder of --out cannot be written, or when the training would replace a model in it."""
    folder = Path(args.out)
    if (folder / "manifest.json").is_file():
        raise InputError(f"--out {args.out} is a bundle: name another folder for the checkpoint")
    if (folder / "checkpoint.json").is_file() and not args.overwrite:
        raise InputError(f"--out {args.out} has a finished checkpoint: name another folder, or add --overwrite")
    check_writable(folder, f"--out {args.out}")


def base_folder(args: argparse.Namespace) -> Path:
    """The checkpoint folder that --from names.

    Raises InputError when there is no checkpoint, or when another argument contradicts --from.
    """
    if args.tune is not None:
        raise InputError("--tune searches for a shape, but --from keeps the shape of its model: leave one of them out")
    if args.leave_out is not None:
        raise InputError(
            f"--leave-out {args.leave_out} contradicts --from {args.base}: that model may have seen the last events of "
            "the users; train without --from"
        )
    base = checkpoint_folder(args.base)
    if Path(args.out).resolve() in (base.resolve(), Path(args.base).resolve()):
        raise InputError(
            f"--out {args.out} would overwrite the model from which --from continues: name another folder with --out"
        )
    return base
