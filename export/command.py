"""`thalweg export`: turns a trained model into a bundle."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from encoder.commands.log_arguments import TakeLog, add_format_arguments, read_whole_log
from encoder.commands.preconditions import check_torch, check_writable
from encoder.console import open_console
from encoder.data.event_log import EventLog
from encoder.data.vocabulary import Vocabulary
from encoder.errors import InputError
from encoder.item_embeddings.embeddings import ItemEmbeddings
from encoder.lineage import Dataset, lineage
from encoder.training.checkpoints.checkpoint_files import check_checkpoint
from export.evaluation.report.weight_texts import weight_texts
from export.mlflow_registry import check_mlflow, fetch_bundle, register
from export.runtime.bundle import Bundle, Manifest
from export.weights import bundle_weights, parse_weights

if TYPE_CHECKING:
    from encoder.model.user_model import UserModel
    from encoder.training.checkpoints.checkpoint import Checkpoint, Description


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help="folder that `thalweg train` wrote")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the bundle to write")
    parser.add_argument(
        "--items",
        nargs=1,
        metavar="LOG",
        action=TakeLog,
        help="event log whose unseen items the bundle also takes in, by their content: a file, a folder or a glob",
    )
    add_format_arguments(parser, "the log of --items")
    add_embeddings_argument(parser, "those of the unseen items of --items")
    parser.add_argument(
        "--purchase-actions",
        nargs="*",
        metavar="ACTION",
        help="actions that buy an item, whose last items stand in the row of a user (default: actions with a name such "
        "as purchase, buy, order or transaction; no name after the option: none)",
    )
    parser.add_argument(
        "--hybrid-weights",
        nargs="+",
        default=(),
        metavar="SCENARIO=CO,CONTENT",
        help="weights of co-occurrence and content in the recommendations of `thalweg serve`, for home, cart or "
        "both, such as home=1,2 (default: those that were best on the validation part of the training)",
    )
    parser.add_argument(
        "--aligned-to",
        metavar="BUNDLE",
        help="rotate the vectors into the space of this bundle, so that what was learnt from its vectors reads the new "
        "ones as well; scores and ranks stay as they are",
    )
    parser.add_argument(
        "--gpu", action="store_true", help="also write the graphs with which a worker keeps the states on a GPU"
    )
    parser.add_argument(
        "--half",
        action="store_true",
        help="with --gpu: rank in float16 on the GPU, which is faster and not exact; the loss is printed",
    )
    parser.add_argument(
        "--without-checkpoint",
        action="store_true",
        help="write a smaller bundle, from which `thalweg train --from` cannot continue",
    )
    _add_registry_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace another bundle in the folder of --out")
    parser.add_argument("--json", action="store_true", help="print the manifest as one JSON object on the last line")


def _add_registry_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to-mlflow",
        metavar="models:/NAME",
        help="also register the bundle as a version of this model in MLflow; MLFLOW_TRACKING_URI names the server",
    )
    parser.add_argument(
        "--from-mlflow",
        metavar="URI",
        help="instead of CHECKPOINT: bring a registered bundle back, models:/NAME/VERSION, models:/NAME@ALIAS or "
        "runs:/RUN/bundle",
    )


def run(args: argparse.Namespace) -> int:
    """Run `thalweg export`. Returns the exit code."""
    if (args.checkpoint is None) == (args.from_mlflow is None):
        raise InputError("give CHECKPOINT to export a model, or --from-mlflow URI to bring a bundle back")
    console = open_console(stderr=args.json)
    bundle = _bring_back(args, console) if args.from_mlflow is not None else _export_and_register(args, console)
    if args.json:
        print(json.dumps(msgspec.to_builtins(bundle.manifest)))
    return 0


def _bring_back(args: argparse.Namespace, console: Console) -> Bundle:
    """The bundle of --from-mlflow. This needs no torch."""
    for name in ("items", "item_embeddings", "hybrid_weights", "aligned_to", "gpu", "to_mlflow", "without_checkpoint"):
        if getattr(args, name):
            raise InputError(f"--{name.replace('_', '-')} is about an export, and --from-mlflow copies: leave one out")
    check_mlflow(args.from_mlflow, "--from-mlflow", is_source=True)
    bundle = fetch_bundle(args.from_mlflow, Path(args.out), overwrite=args.overwrite)
    _print_manifest(console, bundle.manifest, args.out, None)
    return bundle


def _export_and_register(args: argparse.Namespace, console: Console) -> Bundle:
    check_torch("an export")
    if args.to_mlflow is not None:
        check_mlflow(args.to_mlflow, "--to-mlflow")
    inputs = [Dataset.at(path) for path in (args.checkpoint, *(args.items or ()))]
    with lineage("export", inputs, [Dataset.at(args.out)]) as told:
        older = None if args.aligned_to is None else Bundle.load(args.aligned_to)
        if older is not None:
            told.inputs.append(Dataset.at(args.aligned_to, version=older.bundle_id))
        bundle = _export(args, older, console)
        told.outputs = [Dataset.at(args.out, version=bundle.bundle_id)]
    if args.to_mlflow is not None:
        name, version, is_new = register(bundle, args.to_mlflow)
        text = f"{'registered as' if is_new else 'already registered:'} version {version} of {name}"
        console.print(text, markup=False, soft_wrap=True)
    return bundle


def _export(args: argparse.Namespace, older: Bundle | None, console: Console) -> Bundle:
    """older: the bundle of --aligned-to."""
    if args.half and not args.gpu:
        raise InputError("--half is about ranks on a GPU: give --gpu as well")
    if args.item_embeddings and args.items is None:
        raise InputError("--item-embeddings is about unseen items of a log: give --items LOG as well")
    given_weights = parse_weights(args.hybrid_weights)
    check_checkpoint(args.checkpoint)
    check_writable(Path(args.out).parent, f"--out {args.out}")
    embeddings = read_item_embeddings(args)
    log = None if args.items is None else read_whole_log(args, args.items, console)[0]
    # These are imported only here, because torch takes seconds to load.
    from encoder.training.checkpoints import checkpoint
    from export.exporter import export_model

    trained = checkpoint.load(args.checkpoint)
    if given_weights and trained.companions is None:
        raise InputError(
            f"--hybrid-weights is about hybrid scores, and {args.checkpoint} has no counts for them, because an "
            "earlier version trained it: train the model again, or leave the option out"
        )
    description = trained.description
    model, vocabulary = trained.model, trained.vocabulary
    if log is not None:
        model, vocabulary = _extended(trained, log, embeddings, str(args.items), console)
    has_untrained_items = len(vocabulary.items) > len(trained.vocabulary.items)
    weights, choice = bundle_weights(description.hybrid, given_weights, has_untrained_items=has_untrained_items)
    bundle = export_model(
        model,
        vocabulary,
        args.out,
        **_told(description, choice),
        action_offsets=description.action_offsets,
        purchases=args.purchase_actions,
        checkpoint=None if args.without_checkpoint else args.checkpoint,
        companions=None if trained.companions is None else trained.companions.widened(len(vocabulary.items)),
        hybrid_weights=weights,
        for_gpu=args.gpu,
        in_float16=args.half,
        aligned_to=older,
        overwrite=args.overwrite,
    )
    untrained = None if log is None else bundle.manifest.items - len(trained.vocabulary.items)
    _print_manifest(console, bundle.manifest, args.out, untrained)
    return bundle


def _told(description: "Description", choice: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the manifest tells of the training. choice: of the weights, from `bundle_weights`."""
    metrics: dict[str, Any] = {
        "split": "last part of the training log, before the pass over all of it",
        **description.metrics,
    }
    if description.baselines:
        metrics["baselines"] = description.baselines
    if choice:
        metrics["hybrid"] = choice
    training = {
        "settings": msgspec.to_builtins(description.settings),
        "data": description.data,
        "epochs": description.epochs,
    }
    return {"metrics": metrics, "training": training}


def _extended(
    trained: "Checkpoint", log: EventLog, embeddings: tuple[ItemEmbeddings, ...], path: str, console: Console
) -> "tuple[UserModel, Vocabulary]":
    """The model and the vocabulary with the items of the log, which was read from `path`."""
    from encoder.model.new_items import extend_catalogue

    check_items(embeddings, items_with_events(log), path)
    model, vocabulary = extend_catalogue(trained.model, trained.vocabulary, log, embeddings)
    print_missing_sources(console, model.config.item_embeddings, embeddings)
    print_coverage(console, embeddings, vocabulary.items[len(trained.vocabulary.items) :], "untrained items")
    return model, vocabulary


def _print_manifest(console: Console, manifest: Manifest, folder: str, untrained: int | None) -> None:
    """untrained: the number of items that training has not seen, None without --items."""
    parity = manifest.parity
    console.print(
        f"{manifest.bundle_id} in {folder}: {manifest.items:,} items, state {manifest.state_width}, "
        f"representation {manifest.representation_width}",
        markup=False,
        soft_wrap=True,
    )
    if manifest.purchase_actions:
        console.print(
            f"a row lists the last {manifest.bought_places} items of {', '.join(manifest.purchase_actions)}",
            markup=False,
            soft_wrap=True,
        )
    if aligned := manifest.aligned_to:
        console.print(
            f"aligned to {aligned['bundle_id']} over {aligned['shared_items']:,} shared items: the mean cosine of "
            f"representations is {aligned['cosine']:g}, and was {aligned['cosine_before']:g} before the rotation; "
            f"scores stay within {parity['aligned_score_max_rel_diff']:g} of the largest",
            markup=False,
            soft_wrap=True,
        )
    if untrained is not None:
        console.print(f"{untrained:,} of these items are untrained, known by their content")
    console.print(
        f"parity over {parity['steps']:,} steps of {parity['sequences']} sequences: states within "
        f"{parity['state_max_abs_diff']:g}, representations within {parity['representation_max_abs_diff']:g}",
        soft_wrap=True,
    )
    for text in weight_texts(manifest.hybrid, manifest.metrics):
        console.print(text, markup=False, soft_wrap=True, highlight=False)
    for which, loss in parity.get("half_ranks", {}).items():
        console.print(
            f"ranks in float16 on a GPU, {which.replace('_', ' ')}: {loss['differ_share']:.1%} differ from float32, by "
            f"{loss['mean_abs_difference']:g} places on average and {loss['max_abs_difference']} at most; "
            f"{loss['crosses_20_share']:.2%} cross rank 20",
            soft_wrap=True,
        )
