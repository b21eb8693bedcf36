"""What commands that read an event log have in common."""

import argparse

from rich.console import Console

from encoder.data.event_log import EventLog
from encoder.data.loaders import COLUMNS_HELP, FORMATS, LogReport, load_log
from encoder.data.preparation import Preparation, PreparationReport, prepare
from encoder.errors import InputError


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """LOG, its format, and which part of it in time."""
    parser.add_argument("log", metavar="LOG", help="event log")
    add_part_arguments(parser)


def add_part_arguments(parser: argparse.ArgumentParser) -> None:
    """The format of an event log, and which part of it in time."""
    add_format_arguments(parser)
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--first", type=float, metavar="FRACTION", help="only this first part of the log, in time")
    part.add_argument("--rest", type=float, metavar="FRACTION", help="only what follows this first part")


def add_format_arguments(parser: argparse.ArgumentParser, log: str = "the log") -> None:
    """How to read an event log; `log` names it in the help."""
    text = f"of {log}; default: by the file's name, parquet, csv or jsonl"
    parser.add_argument("--format", choices=FORMATS, help=text)
    parser.add_argument("--columns", metavar="FIELD=COLUMN,...", help=COLUMNS_HELP)


def add_preparation_arguments(parser: argparse.ArgumentParser, defaults: Preparation) -> None:
    """What to leave out of the log, or out of the part of it."""
    parser.add_argument(
        "--drop-repeats",
        action=argparse.BooleanOptionalAction,
        default=defaults.drop_repeats,
        help="leave out events with the user, item, action and time of an earlier one",
    )
    bound = defaults.max_events_per_day or 0
    parser.add_argument(
        "--max-events-per-day",
        type=int,
        default=bound,
        metavar="N",
        help=f"leave out users with more events in any 24 hours, as bots; 0: nobody (default {bound})",
    )
    shortest = defaults.min_user_events
    parser.add_argument(
        "--min-user-events",
        type=int,
        default=shortest,
        metavar="N",
        help=f"leave out users with fewer events (default {shortest})",
    )


def add_threads_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="cores to use; more pay with many items")


def read_log(args: argparse.Namespace, console: Console) -> tuple[EventLog, LogReport]:
    """The log, or the part of it, that the arguments name; says what became of the file's rows."""
    log, report = load_log(args.log, args.format, args.columns)
    console.print(str(report), highlight=False, soft_wrap=True)
    if args.first is not None:
        log = log.split(args.first)[0]
    if args.rest is not None:
        log = log.split(args.rest)[1]
    if not len(log):
        raise InputError(f"no event of {args.log} is in the part asked for: check --format, --first and --rest")
    return log, report


def prepare_log(
    args: argparse.Namespace, log: EventLog, console: Console, min_support: int = 1
) -> tuple[EventLog, PreparationReport]:
    """The log without what the arguments leave out; says what each step found.

    Comes after the cut in time: `thalweg replay` cuts the log as it is, and what comes later must not decide here.
    """
    settings = Preparation(
        drop_repeats=args.drop_repeats,
        max_events_per_day=args.max_events_per_day or None,
        min_user_events=args.min_user_events,
        min_support=min_support,
    )
    prepared, report = prepare(log, settings)
    console.print(str(report), highlight=False, soft_wrap=True)
    if not len(prepared):
        raise InputError(f"no event of {args.log} is left: check --max-events-per-day and --min-user-events")
    return prepared, report
