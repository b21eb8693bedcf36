"""The training settings that are options of `thalweg train`."""

import argparse

import msgspec

from encoder.commands.number_arguments import MAX_SEED, positive, whole_number
from encoder.errors import InputError
from encoder.training.settings import (
    BATCHING_NAMES,
    CELL_NAMES,
    CONTINUED_MAX_EPOCHS,
    LOSS_NAMES,
    TrainingSettings,
)

# The settings that are options with a whole number, and the help for each option. All but the seed are 1 or more.
NUMBER_SETTINGS = (
    ("layers", "cells on top of each other"),
    ("width", "components of each layer's output and of the representation"),
    ("min_support", "events that an item needs to be in the catalogue"),
    ("negatives", "items that --loss sampled and --loss bpr-max draw for a step"),
    ("max_epochs", f"passes over the log that are validated, {CONTINUED_MAX_EPOCHS} with --from"),
    ("seed", "seed of the weights and of the order of the users"),
)
SETTINGS = (*(name for name, _ in NUMBER_SETTINGS), "cell", "loss", "batching", "week_hours", "learning_rate")
SHAPE_SETTINGS = ("cell", "layers", "width", "week_hours")  # a trained model keeps these settings


def add_setting_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting of SETTINGS."""
    # The options have no argparse default, because --from decides the value of an option that is not given.
    defaults = TrainingSettings()
    parser.add_argument("--cell", choices=CELL_NAMES, help=f"recurrent cell (default {defaults.cell})")
    parser.add_argument("--loss", choices=LOSS_NAMES, help=f"loss of the next item (default {defaults.loss})")
    parser.add_argument(
        "--batching",
        choices=BATCHING_NAMES,
        help="padded: users of similar length side by side; parallel: lanes that each walk through one user after "
        f"another (default {defaults.batching})",
    )
    for name, text in NUMBER_SETTINGS:
        option = "--" + name.replace("_", "-")
        number = whole_number(0, MAX_SEED) if name == "seed" else whole_number(1)
        parser.add_argument(option, type=number, metavar="N", help=f"{text} (default {getattr(defaults, name)})")
    parser.add_argument(
        "--learning-rate",
        type=positive,
        metavar="RATE",
        help=f"largest step of a weight, which falls to 0 at the end (default {defaults.learning_rate})",
    )
    parser.add_argument(
        "--week-hours",
        action="store_true",
        default=None,
        help="also use the hour of the week (UTC) as an input; for logs of some weeks",
    )


def requested_settings(args: argparse.Namespace, defaults: TrainingSettings) -> TrainingSettings:
    """The defaults with the values of the given options.

    Raises InputError when an option contradicts the shape of the model that --from names.
    """
    if args.base is not None:
        defaults = msgspec.structs.replace(defaults, max_epochs=CONTINUED_MAX_EPOCHS)
    given = {name: value for name in SETTINGS if (value := getattr(args, name)) is not None}
    if args.base is not None:
        for name in SHAPE_SETTINGS:
            trained = getattr(defaults, name)
            if given.get(name, trained) != trained:
                raise InputError(
                    f"--{name.replace('_', '-')} {given[name]} contradicts --from {args.base}, which has {trained}: a "
                    "trained model keeps its shape; leave the option out, or train a new model without --from"
                )
    if "width" in given:
        given["hidden"] = given["width"]
    return msgspec.structs.replace(defaults, **given)
