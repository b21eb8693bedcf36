"""`thalweg simulate`: writes the event log of a simulated shop."""

import argparse
import importlib.util
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from encoder.commands.number_arguments import share, whole_number
from encoder.commands.preconditions import check_writable_file
from encoder.console import open_console, print_table
from encoder.data.event_log import EventLog
from encoder.data.simulator import Shop, Simulation, ceiling, describe, faulty_records
from encoder.errors import InputError

MAX_DAYS = 10_000  # The log ends in 2026, and the times of events begin in 1970.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `thalweg simulate`."""
    parser.add_argument("--events", type=whole_number(1), default=100_000, help="number of events (default 100000)")
    parser.add_argument("--users", type=whole_number(1), default=3_000, help="number of users (default 3000)")
    parser.add_argument("--items", type=whole_number(20), default=2_000, help="number of items (default 2000)")
    parser.add_argument(
        "--days",
        type=whole_number(1, MAX_DAYS),
        default=30,
        help="most days that the log spans: the log ends with the last of --events, which is earlier when they are "
        "few, and later when the sessions of a user do not fit into the days (default 30)",
    )
    parser.add_argument(
        "--churn",
        type=share,
        default=0.0,
        help="share of users who leave; their visits become rarer beforehand (default 0)",
    )
    parser.add_argument(
        "--seed", type=whole_number(0), default=7, help="the same seed and counts give the same bytes (default 7)"
    )
    parser.add_argument("--late", type=share, default=0.0, help="share of events that arrive late (default 0)")
    parser.add_argument("--duplicate", type=share, default=0.0, help="additional duplicates, as a share (default 0)")
    parser.add_argument(
        "--malformed", type=share, default=0.0, help="additional malformed records, as a share (default 0)"
    )
    parser.add_argument("--oracle", action="store_true", help="also score the oracle, the upper bound for any model")
    parser.add_argument("--out", type=Path, required=True, help="the JSON Lines file to write")
    parser.add_argument(
        "--catalogue",
        type=Path,
        metavar="FILE",
        help="also write a Parquet file with the name, category, brand, price and first time of each item, which "
        "`thalweg items` reads, and with a description and item embeddings of texts and of pictures, which "
        "`thalweg train --item-embeddings` reads",
    )


def run(args: argparse.Namespace) -> int:
    """Run `thalweg simulate`. Returns the exit code."""
    if not args.out.parent.is_dir():
        raise InputError(f"--out {args.out} cannot be written: name a file in an existing folder")
    check_writable_file(args.out, f"--out {args.out}")
    if args.catalogue is not None:
        check_catalogue(args.catalogue)
    started = time.perf_counter()
    shop = Shop(args.seed, args.items, args.users, args.days, args.churn)
    simulation = shop.run(args.events)
    simulated_s = time.perf_counter() - started
    records = faulty_records(simulation.log, args.late, args.duplicate, args.malformed, args.seed)
    written = _write(args.out, (value for _, value in records))
    if args.catalogue is not None:
        _write_catalogue(args.catalogue, shop, simulation)
    console = open_console()
    console.print(str(args.out), markup=False, highlight=False, soft_wrap=True)  # a title would be folded
    print_table(console, _summary(args, simulation.log, written, simulated_s))
    if args.oracle:
        print_table(console, _ceiling(shop, simulation))
    return 0


def _write(path: Path, values: Iterable[bytes]) -> int:
    count = 0
    try:
        with path.open("wb") as file:
            for value in values:
                file.write(value + b"\n")
                count += 1
    except OSError as error:
        raise InputError(f"cannot write the log to {path}: {error}; give --out a path in an existing folder") from None
    return count


def check_catalogue(path: Path) -> None:
    """Raise InputError when the file of --catalogue cannot be written, or when its name has another ending."""
    if importlib.util.find_spec("pyarrow") is None:
        raise InputError("--catalogue needs pyarrow: install Thalweg with its `train` extra")
    if path.suffix != ".parquet" or not path.parent.is_dir():
        raise InputError(f"--catalogue {path} cannot be written: name a .parquet file in an existing folder")
    check_writable_file(path, f"--catalogue {path}")


def _write_catalogue(path: Path, shop: Shop, simulation: Simulation) -> None:
    import pyarrow
    import pyarrow.parquet

    descriptions = describe(shop.catalogue, shop.seed)
    columns: dict[str, Any] = {**shop.item_list(simulation), "description": descriptions.texts}
    for name, vectors in (("text", descriptions.text_vectors), ("picture", descriptions.picture_vectors)):
        columns[name] = pyarrow.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1])
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def _summary(args: argparse.Namespace, log: EventLog, written: int, simulated_s: float) -> Table:
    table = Table(show_header=False)
    table.add_row("events", f"{len(log):,} ({len(log) / simulated_s:,.0f} a second to simulate)")
    table.add_row("users, items", f"{len(np.unique(log.user)):,}, {len(np.unique(log.item)):,}")
    counts = np.bincount(log.action, minlength=len(log.actions)).tolist()
    table.add_row("actions", ", ".join(f"{name} {n:,}" for name, n in zip(log.actions, counts, strict=True)))
    first, last = log.time_ms[[0, -1]].astype("datetime64[ms]").astype("datetime64[m]").tolist()
    table.add_row("time", f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC")
    table.add_row("records written", f"{written:,}, of which")
    for name in ("late", "duplicate", "malformed"):
        table.add_row(f"  {name}", f"{round(len(log) * getattr(args, name)):,}")
    return table


def _ceiling(shop: Shop, simulation: Simulation) -> Table:
    scores = ceiling(shop, simulation)
    events = scores["oracle"].events
    table = Table("predictor", title=f"Next item, on {events:,} events of users with a history")
    for name in ("Recall@20", "MRR@20"):
        table.add_column(name, justify="right")
    for name, score in scores.items():
        label = "oracle (the ceiling)" if name == "oracle" else name
        table.add_row(label, f"{score.recall_at_20:.3f}", f"{score.mrr_at_20:.3f}")
    return table
