"""What commands that read an event log have in common."""

import argparse

from rich.console import Console

from encoder.datasets import FORMATS, load_log
from encoder.errors import InputError
from encoder.log import EventLog


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """LOG, its format, and which part of it in time."""
    parser.add_argument("log", metavar="LOG", help="event log")
    add_part_arguments(parser)


def add_part_arguments(parser: argparse.ArgumentParser) -> None:
    """The format of an event log, and which part of it in time."""
    parser.add_argument("--format", choices=sorted(FORMATS), help="default: by the file's name, parquet or jsonl")
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--first", type=float, metavar="FRACTION", help="only this first part of the log, in time")
    part.add_argument("--rest", type=float, metavar="FRACTION", help="only what follows this first part")


def add_threads_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="cores to use; more pay with many items")


def read_log(args: argparse.Namespace, console: Console) -> EventLog:
    """The log, or the part of it, that the arguments name; says what became of its rows."""
    log, report = load_log(args.log, args.format)
    console.print(str(report), highlight=False, soft_wrap=True)
    if args.first is not None:
        log = log.split(args.first)[0]
    if args.rest is not None:
        log = log.split(args.rest)[1]
    if not len(log):
        raise InputError(f"no event of {args.log} is in the part asked for: check --format, --first and --rest")
    return log
