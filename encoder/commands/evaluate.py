"""`thalweg evaluate CHECKPOINT LOG`: offline metrics of a trained model and of the baselines of its training log.

The module `export.evaluation.evaluate_command` defines the arguments, because the same command also evaluates bundles.
"""

import argparse
from typing import Any

import msgspec
from rich.markup import escape
from rich.table import Table

from encoder.commands.log_arguments import read_scored_log
from encoder.commands.preconditions import check_torch
from encoder.console import open_console, print_table
from encoder.metrics.baselines import BASELINES
from encoder.metrics.leakage import find_leak, leak_warning
from encoder.metrics.next_time import calibration_errors_text
from encoder.training.checkpoints.checkpoint_files import check_checkpoint

RANKED_BY = {"masked": "model, own items masked", **BASELINES}


def run(args: argparse.Namespace) -> int:
    """Run `thalweg evaluate` for a checkpoint. Returns the exit code."""
    check_torch("the evaluation of a checkpoint")
    console = open_console(stderr=args.json)
    check_checkpoint(args.checkpoint, f"evaluate the bundle itself: --bundle {args.checkpoint} --events {args.log}")
    history, log = read_scored_log(args, console)
    import torch  # takes seconds, so the arguments are checked first

    from encoder.training.checkpoints import checkpoint
    from encoder.training.evaluation import evaluate

    torch.set_num_threads(args.threads)
    trained = checkpoint.load(args.checkpoint)
    result = evaluate(trained.model, trained.vocabulary, trained.baselines, log, history)
    result["leak"] = find_leak(log, trained.description.data, are_last=args.score == "last")
    if args.score == "last" and "heads" in result:
        result["heads"]["churn"] = {}  # no event follows a user's last event, so all would have churned
    print_table(console, _ranking_table(result))
    if "heads" in result:
        print_table(console, _heads_table(result["heads"]))
    if (text := leak_warning(result["leak"], str(args.checkpoint))) is not None:
        console.print(text, style="bold red", soft_wrap=True, highlight=False, markup=False)
    if args.json:
        print(msgspec.json.encode(result).decode())  # msgspec writes nan as null
    return 0


def _ranking_table(result: dict[str, Any]) -> Table:
    table = Table(title="Rank of the next item in the whole catalogue, ties against the ranking")
    table.add_column("events")
    table.add_column("ranked by")
    names = [name for name in result["warm"]["model"] if name != "n"]
    for name in [*names, "n"]:
        table.add_column(name, justify="right")
    for part, text in (("warm", "with history"), ("first", "first of a user")):
        for by, metrics in result[part].items():
            table.add_row(text, RANKED_BY.get(by, by), *(f"{metrics[name]:.4f}" for name in names), f"{metrics['n']:,}")
    return table


def _heads_table(heads: dict[str, Any]) -> Table:
    """The metrics of the next action, of the time to the next event, and of churn."""
    table = Table(title="Next action, time to it, and risk of none", show_header=False)
    action, time = heads["action"], heads["time"]
    by_action = ", ".join(
        f"{escape(name or 'unknown')} {scores['f1']:.3f}" for name, scores in action["by_action"].items()
    )
    table.add_row(
        "action",
        f"accuracy {action['accuracy']:.4f} (most frequent: {action['most_frequent']:.4f}), precision "
        f"{action['precision']:.3f}, recall {action['recall']:.3f}, F1 {action['f1']:.3f} ({by_action}); log loss "
        f"{action['log_loss']:.4f} (constant: {action['constant_log_loss']:.4f}), skill {action['skill']:.4f}",
    )
    table.add_row(
        "time",
        f"log-likelihood {time['log_likelihood']:.3f} nats, median error {time['median_absolute_error_s']:.0f} s, of "
        f"log seconds MSE {time['log_mse']:.3f} and MAE {time['log_mae']:.3f}, {calibration_errors_text(time)}",
    )
    for days, churn in heads["churn"].items():
        table.add_row(
            f"churn {days}",
            f"AUC {churn['auc']:.4f}, Brier {churn['brier']:.4f} (constant: {churn['constant_brier']:.4f}), risk "
            f"{churn['mean_risk']:.3f} for {churn['churned']:.3f} that churned, {churn['n']:,} events",
        )
    return table
