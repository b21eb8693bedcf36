"""`thalweg evaluate`: a bundle over a log, ranked as the live system does; or a checkpoint, from before the export."""

import argparse
import json
from pathlib import Path

from rich.console import Console

from encoder.commands import evaluate as checkpoints
from encoder.commands.logs import (
    add_part_arguments,
    add_preparation_arguments,
    add_threads_argument,
    prepare_log,
    read_log,
)
from encoder.data.event_log import EventLog
from encoder.data.loaders import load_log
from encoder.data.preparation import Preparation
from encoder.errors import InputError
from encoder.metrics.leakage import leak_warnings
from export.runtime.bundle import Bundle


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help="folder that `thalweg train` wrote, or")
    parser.add_argument("log", nargs="?", metavar="LOG", help="event log for the checkpoint")
    parser.add_argument("--bundle", metavar="DIR", help="bundle to evaluate, with --events")
    parser.add_argument("--events", metavar="LOG", help="event log whose events are scored")
    add_part_arguments(parser)
    add_preparation_arguments(parser, Preparation())
    parser.add_argument(
        "--history",
        metavar="LOG",
        help="of the same format: its events before the first scored one are stepped first, not scored, and "
        "counted for baselines and popularity; may be the log of --events",
    )
    parser.add_argument("--compare", metavar="DIR", help="second bundle on the same events: is the difference real?")
    parser.add_argument("--robustness", action="store_true", help="also with disturbed history; 16 times the cost")
    parser.add_argument("--freshness", action="store_true", help="also with states an hour, a day, a week old")
    parser.add_argument("--report", metavar="FILE.html", help="write all of this as one page, and FILE.json beside it")
    add_threads_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    if args.bundle is None:
        return _run_checkpoint(args)
    if args.checkpoint is not None or args.events is None:
        raise InputError("give --bundle DIR with --events LOG, or CHECKPOINT and LOG without them")
    if args.report is not None and Path(args.report).suffix != ".html":
        raise InputError(f"--report {args.report}: name a file that ends in .html; the JSON is written beside it")
    console = Console(stderr=args.json)
    bundle = Bundle.load(args.bundle)
    compare = None if args.compare is None else Bundle.load(args.compare)
    args.log = args.events
    log, _ = prepare_log(args, read_log(args, console)[0], console)
    history = None if args.history is None else _history(args, log, console)
    # only now: ONNX Runtime takes a moment to load
    from export.evaluation.bundle_evaluation import evaluate_bundle
    from export.evaluation.report.page import write_report
    from export.evaluation.report.text_tables import print_result

    with console.status("") as status:
        result = evaluate_bundle(
            bundle,
            log,
            history,
            compare=compare,
            is_robustness_wanted=args.robustness or args.report is not None,
            is_freshness_wanted=args.freshness or args.report is not None,
            threads=args.threads,
            say=status.update,
        )
    print_result(console, result)
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


def _run_checkpoint(args: argparse.Namespace) -> int:
    if args.checkpoint is None or args.log is None:
        raise InputError("nothing to evaluate: give --bundle DIR and --events LOG, or CHECKPOINT and LOG")
    for name in ("events", "history", "compare", "report", "robustness", "freshness"):
        if getattr(args, name):
            raise InputError(f"--{name} needs --bundle: export the checkpoint first (`thalweg export`)")
    return checkpoints.run(args)


def _history(args: argparse.Namespace, log: EventLog, console: Console) -> EventLog:
    """The events of the history log before the first scored one. Raises InputError where there is none."""
    whole, _ = load_log(args.history, args.format, args.columns)
    history = whole[: int((whole.time_ms < log.time_ms[0]).sum())]
    if not len(history):
        raise InputError(
            f"no event of --history {args.history} is earlier than the first scored one ({log.time_ms[0]} ms): "
            "leave --history out, or score a later part (--rest)"
        )
    console.print(
        f"history: {len(history):,} events of {args.history} before the scored ones, {len(whole) - len(history):,} not "
        "before them and left out",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return history
