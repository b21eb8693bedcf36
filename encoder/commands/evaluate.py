"""`thalweg evaluate CHECKPOINT LOG`: offline metrics of a trained model beside the baselines of its training log.

Its arguments stand in `export.evaluation.command`, with those of the form for bundles.
"""

import argparse
import json
from typing import Any

from rich.console import Console
from rich.table import Table

from encoder.commands.checkpoints import check_checkpoint
from encoder.commands.logs import prepare_log, read_log


def run(args: argparse.Namespace) -> int:
    console = Console(stderr=args.json)
    check_checkpoint(args.checkpoint)
    log, _ = prepare_log(args, read_log(args, console)[0], console)
    # only now: torch takes seconds to load
    import torch

    from encoder import checkpoint
    from encoder.evaluation import evaluate

    torch.set_num_threads(args.threads)
    trained = checkpoint.load(args.checkpoint)
    result = evaluate(trained.model, trained.vocabulary, trained.baselines, log)
    console.print(_table(result))
    if args.json:
        print(json.dumps(result))
    return 0


def _table(result: dict[str, Any]) -> Table:
    table = Table(title="Rank of the next item in the whole catalogue, ties against the ranking")
    table.add_column("events")
    table.add_column("ranked by")
    names = [name for name in result["warm"]["model"] if name != "n"]
    for name in [*names, "n"]:
        table.add_column(name, justify="right")
    for part, text in (("warm", "with history"), ("first", "first of a user")):
        for by, metrics in result[part].items():
            table.add_row(text, by, *(f"{metrics[name]:.4f}" for name in names), f"{metrics['n']:,}")
    return table
