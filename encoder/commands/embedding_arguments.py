"""The argument for item embeddings, and what the commands print about the embeddings."""

import argparse
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from rich.console import Console

from encoder.data.event_log import EventLog
from encoder.errors import InputError
from encoder.item_embeddings.embeddings import ItemEmbeddings
from encoder.item_embeddings.files import load_item_embeddings, parse_sources


def add_embeddings_argument(parser: argparse.ArgumentParser, use: str) -> None:
    """Add --item-embeddings. use: what the command does with the embeddings, for the help."""
    parser.add_argument(
        "--item-embeddings",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help=f"vectors of items that another model has computed, for example of texts or pictures; {use}; FILE is "
        "Parquet with the column item_id and a column of lists, or numpy's .npy with a file .ids of ids; can be "
        "repeated with other names",
    )


def read_item_embeddings(args: argparse.Namespace) -> tuple[ItemEmbeddings, ...]:
    """The embeddings of --item-embeddings, sorted by the names of their sources. Raises InputError as the files do."""
    return tuple(load_item_embeddings(name, path) for name, path in parse_sources(args.item_embeddings).items())


def items_with_events(log: EventLog) -> list[str]:
    """The ids of the items that have an event in the log, which may be a part of a longer one."""
    return [log.item_ids[code] for code in np.unique(log.item).tolist()]


def check_items(embeddings: Iterable[ItemEmbeddings], items: Sequence[str], log: str) -> None:
    """Raise InputError when a source has none of the items of a log: its ids are then surely other ids."""
    for source in embeddings:
        if (source.rows(items) < 0).all():
            raise InputError(
                f"none of the {len(source.items):,} ids of the item embeddings {source.name!r} is an item of {log}: "
                f"the first id is {source.items[0]!r}, and an item of the log is {items[0]!r}; give the ids of the log"
            )


def print_coverage(
    console: Console, embeddings: Iterable[ItemEmbeddings], items: Sequence[str], kind: str = "items"
) -> None:
    """Print how many items have embeddings. kind: what the items are called."""
    for source in embeddings:
        found = int((source.rows(items) >= 0).sum())
        console.print(
            f"item embeddings {source.name!r}: {source.width:,} numbers each, for {found:,} of {len(items):,} {kind}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def print_missing_sources(console: Console, known: Collection[str], given: Iterable[ItemEmbeddings]) -> None:
    """Print which sources of a trained model have no file. The model keeps the embeddings of the items that it knows.

    known: the names of the model's sources.
    """
    missing = sorted(set(known) - {source.name for source in given})
    for name in missing:
        console.print(
            f"item embeddings {name!r}: the model has them, and no file is given (--item-embeddings {name}=FILE), so "
            "new items have none",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
