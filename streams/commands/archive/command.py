"""`thalweg archive`: the arguments and the summary."""

import argparse
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from encoder.commands.log_arguments import (
    LOG_HELP,
    TakeLog,
    add_format_arguments,
    add_max_unparsable_argument,
)
from encoder.console import open_console
from encoder.wording import counted
from streams.archive.files import ArchiveFiles, open_files
from streams.archive.opening import check_packages
from streams.broker.decoding.record_decoder import open_decoder
from streams.config.errors import InputError
from streams.config.loading import load_settings
from streams.config.settings import Settings
from streams.health.rights.check import check_broker_rights

if TYPE_CHECKING:
    from streams.commands.archive.archiving import Archiving
    from streams.commands.archive.log.log_events import LogCounts

_EPOCH = datetime.fromtimestamp(0, UTC)
FIRST_PLAUSIBLE_MS = 1_000_000_000_000  # 2001-09-09; a smaller number is almost surely in seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to", required=True, metavar="ADDRESS", help="folder, or s3://BUCKET/PREFIX; made where it is missing"
    )
    parser.add_argument(
        "--accept-gaps",
        action="store_true",
        help="note records that retention deleted before they were archived, and go on",
    )
    parser.add_argument(
        "--log",
        nargs="+",
        metavar="LOG",
        action=TakeLog,
        help=f"begin a new archive with the events of a log before --until: {LOG_HELP}",
    )
    parser.add_argument(
        "--until",
        dest="until_ms",
        type=moment_ms,
        metavar="TIME",
        help="the log has every event before this time, and the topic every event from then on: a time of ISO 8601 "
        "with a zone, or milliseconds since 1970-01-01 UTC",
    )
    add_format_arguments(parser)
    add_max_unparsable_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")


def moment_ms(text: str) -> int:
    """The type of an argument that is a moment, in milliseconds since 1970-01-01 UTC."""
    if text.isdecimal():
        if int(text) < FIRST_PLAUSIBLE_MS:
            raise argparse.ArgumentTypeError(f"{text} would be before 2001-09-09 in milliseconds: give milliseconds")
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a time of ISO 8601, such as 2026-11-29T00:00:00Z, nor a number of milliseconds"
        ) from None
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} has no zone: write {text}Z for UTC")
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def run(args: argparse.Namespace) -> int:
    """Copy the behaviour topic to the archive, from where the archive ends to the topic's present end.

    With --log, a new archive first gets the events of the log. Raises what `Archiving.run` and `Beginning.run` raise,
    and SettingsError where a package is missing.
    """
    check_packages()
    _check_arguments(args)
    from streams.commands.archive.archiving import Archiving

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # A final failure is raised.
    settings = load_settings()
    check_broker_rights(settings, "archive")
    files, began_s = open_files(args.to), time.monotonic()
    log = None if args.log is None else _begin_with_log(args, settings, files)
    archiving = Archiving(settings, files, open_decoder(settings), args.accept_gaps)
    archiving.archived.log = log
    with _progress_line(archiving) as tell:
        archiving.run(tell)
    elapsed_s, archived = time.monotonic() - began_s, archiving.archived
    of_topic = (f"record of {settings.behavior_topic} was", f"records of {settings.behavior_topic} were")
    if args.json:
        print(msgspec.json.encode(archived).decode())
        return 0
    if log is not None:
        print(_log_line(args, log))
    print(
        f"archive: {counted(archived.records, *of_topic)} added to {args.to} "
        f"in {elapsed_s:.1f} s: {counted(archived.rows, 'row')}, {counted(archived.files, 'file')}, "
        f"{archived.bytes:,} bytes"
        + (f"; {counted(archived.deleted, 'offset')} had been deleted" if archived.deleted else "")
    )
    for partition, position in sorted(archived.positions.items()):
        print(f"  partition {partition}: up to offset {position}")
    return 0


def _check_arguments(args: argparse.Namespace) -> None:
    """Raises InputError where options of a log stand without one, or a log without its boundary."""
    if args.log is not None and args.until_ms is None:
        raise InputError("--log needs --until TIME: the events before this time are taken from the log")
    if args.log is None:
        for name, value in (("until", args.until_ms), ("format", args.format)):
            if value is not None:
                raise InputError(f"--{name} belongs to --log LOG, which begins a new archive: give both or neither")
        for name in ("columns", "mapping"):
            if getattr(args, name) is not None:
                raise InputError(f"--{name} belongs to --log LOG; the topic is read by the setting mapping")


def _begin_with_log(args: argparse.Namespace, settings: Settings, files: ArchiveFiles) -> "LogCounts":
    from streams.commands.archive.log.beginning import Beginning

    return Beginning(settings, files, args.log, args, open_console(stderr=args.json)).run()


def _log_line(args: argparse.Namespace, log: "LogCounts") -> str:
    left_out = (
        (log.duplicates, "come twice"),
        (log.in_topic, "stand in the copied part of the topic too"),
        (log.later, "are not before --until"),
        (log.erased, "belong to users whom the topic erased later"),
    )
    text = ", ".join(f"{count:,} {what}" for count, what in left_out if count)
    return f"archive: begins with {log.events:,} events of {args.log}" + (f"; left out: {text}" if text else "")


@contextlib.contextmanager
def _progress_line(archiving: "Archiving") -> Iterator[Callable[[], None]]:
    """Show a line on the terminal while the block runs. The function that the block gets brings the line up to date."""
    began_s = time.monotonic()
    with open_console(stderr=True).status("reading the topic …") as status:

        def tell() -> None:
            offsets_per_s = archiving.read / (time.monotonic() - began_s)
            status.update(f"{archiving.read:,} of {archiving.total:,} offsets read, {offsets_per_s:,.0f}/s")

        yield tell
