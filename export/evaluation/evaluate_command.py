"""`thalweg evaluate`: evaluates a bundle over a log as a worker ranks it, or a checkpoint before its export."""

import argparse
import json
from pathlib import Path

from rich.console import Console

from encoder.commands import evaluate as checkpoints
from encoder.commands.log_arguments import (
    LOG_HELP,
    TakeLog,
    add_cold_argument,
    add_max_unparsable_argument,
    add_part_arguments,
    add_preparation_arguments,
    add_score_argument,
    add_threads_argument,
    prepare_history,
    read_scored_log,
    read_whole_log,
)
from encoder.commands.preconditions import check_writable_file
from encoder.console import open_console
from encoder.data.event_log import EventLog
from encoder.data.preparation import Preparation
from encoder.errors import InputError
from encoder.metrics.leakage import leak_warnings
from export.runtime.bundle import Bundle

NEW_DAYS = 7.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help="folder that `thalweg train` wrote")
    parser.add_argument(
        "log", nargs="*", metavar="LOG", action=TakeLog, help=f"event log to score with the checkpoint: {LOG_HELP}"
    )
    parser.add_argument("--bundle", metavar="DIR", help="evaluate this bundle instead, with --events")
    parser.add_argument(
        "--events", nargs="+", metavar="LOG", action=TakeLog, help=f"event log to score with the bundle: {LOG_HELP}"
    )
    add_part_arguments(parser)
    add_score_argument(parser)
    add_cold_argument(parser)
    add_max_unparsable_argument(parser)
    add_preparation_arguments(parser, Preparation())
    parser.add_argument(
        "--history",
        nargs="+",
        metavar="LOG",
        action=TakeLog,
        help="event log of the same format; its events before the first scored event are stepped first and not scored, "
        "and baselines count them (default with --rest: the events before --rest)",
    )
    parser.add_argument("--compare", metavar="DIR", help="also evaluate this bundle, and test the difference")
    parser.add_argument(
        "--robustness", action="store_true", help="also with a disturbed history; takes 16 times as long"
    )
    parser.add_argument(
        "--freshness", action="store_true", help="also with states that are an hour, a day and a week old"
    )
    parser.add_argument(
        "--scenarios",
        action="store_true",
        help="also rank by the hybrid score of `thalweg serve` and by each of its parts alone, in each scenario",
    )
    parser.add_argument(
        "--new-days",
        type=float,
        default=NEW_DAYS,
        metavar="N",
        help="with --scenarios: items are new that appeared at most so many days before the first scored event "
        f"(default: {NEW_DAYS:g})",
    )
    parser.add_argument(
        "--report", metavar="FILE.html", help="write the result as an HTML page, and FILE.json beside it"
    )
    add_threads_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    if args.bundle is None:
        return _run_checkpoint(args)
    _check_bundle_arguments(args)
    console = open_console(stderr=args.json)
    bundle = Bundle.load(args.bundle)
    compare = None if args.compare is None else Bundle.load(args.compare)
    args.log = args.events
    history, log = read_scored_log(args, console)
    if args.history is not None:
        history = _history(args, log, console)
    # These are imported only here, because ONNX Runtime takes a moment to load.
    from export.evaluation.bundle_evaluation import evaluate_bundle
    from export.evaluation.report.page import write_report
    from export.evaluation.report.scenario_tables import print_scenarios
    from export.evaluation.report.text_tables import print_result
    from export.evaluation.report.weight_texts import weight_texts

    with console.status("") as status:
        result = evaluate_bundle(
            bundle,
            log,
            history,
            compare=compare,
            are_last=args.score == "last",
            is_robustness_wanted=args.robustness,
            is_freshness_wanted=args.freshness,
            new_days=args.new_days if args.scenarios else None,
            threads=args.threads,
            on_progress=status.update,
        )
    print_result(console, result)
    if result["scenarios"] is not None:
        print_scenarios(console, result["scenarios"])
        for text in weight_texts(bundle.manifest.hybrid, bundle.manifest.metrics):
            console.print(text, soft_wrap=True, highlight=False, markup=False)
    if args.report is not None:
        written = write_report(result, Path(args.report))
        console.print(
            f"report in {args.report}, its figures in {written}", soft_wrap=True, highlight=False, markup=False
        )
    for text in leak_warnings(result):
        console.print(text, style="bold red", soft_wrap=True, highlight=False, markup=False)
    if args.json:
        print(json.dumps(result))
    return 0


def _check_bundle_arguments(args: argparse.Namespace) -> None:
    """Raise InputError when arguments contradict each other, or when the report cannot be written."""
    if args.checkpoint is not None or args.events is None:
        raise InputError("give --bundle DIR with --events LOG, or CHECKPOINT and LOG without them")
    if args.cold and args.history is not None:
        raise InputError(f"--cold leaves out a history, and --history {args.history} names one: give one of them")
    if args.score == "last" and args.history is not None:
        raise InputError(
            f"--score last takes the history from {args.events}, and --history {args.history} names another log: leave "
            "--history out"
        )
    if args.report is not None and Path(args.report).suffix != ".html":
        raise InputError(f"--report {args.report}: name a file that ends in .html; the JSON is written beside it")
    for suffix in (".html", ".json") if args.report is not None else ():
        check_writable_file(Path(args.report).with_suffix(suffix), f"--report {args.report}")


def _run_checkpoint(args: argparse.Namespace) -> int:
    if args.checkpoint is None or args.log is None:
        raise InputError("nothing to evaluate: give --bundle DIR and --events LOG, or CHECKPOINT and LOG")
    for name in ("events", "history", "compare", "report", "robustness", "freshness", "scenarios"):
        if getattr(args, name):
            raise InputError(f"--{name} needs --bundle: export the checkpoint first (`thalweg export`)")
    return checkpoints.run(args)


def _history(args: argparse.Namespace, log: EventLog, console: Console) -> EventLog | None:
    """The events of the history log before the first scored event. Raises InputError where there are none."""
    whole, _ = read_whole_log(args, args.history, console)
    history = whole[: int((whole.time_ms < log.time_ms[0]).sum())]
    if not len(history):
        raise InputError(
            f"no event of --history {args.history} is earlier than the first scored event ({log.time_ms[0]} ms): "
            "leave --history out, or score a later part (--rest)"
        )
    return prepare_history(args, history, args.history, console)
