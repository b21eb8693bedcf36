"""`thalweg archive`: the arguments and the summary."""

import argparse
import contextlib
import logging
import time
from collections.abc import Callable, Iterator

import msgspec

from encoder.console import open_console
from streams.archive.files import open_files
from streams.archive.opening import check_packages
from streams.broker.decoding.record_decoder import open_decoder
from streams.config.loading import load_settings
from streams.health.rights.check import check_broker_rights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to", required=True, metavar="ADDRESS", help="folder, or s3://BUCKET/PREFIX; made where it is missing"
    )
    parser.add_argument(
        "--accept-gaps",
        action="store_true",
        help="note records that retention deleted before they were archived, and go on",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    """Copy the behaviour topic to the archive, from where the archive ends to the topic's present end.

    Raises what `Archiving.run` raises, and SettingsError where a package is missing.
    """
    check_packages()
    from streams.commands.archive.archiving import Archiving

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # A final failure is raised.
    settings = load_settings()
    check_broker_rights(settings, "archive")
    archiving = Archiving(settings, open_files(args.to), open_decoder(settings), args.accept_gaps)
    began_s = time.monotonic()
    with _progress_line() as tell:
        archiving.run(tell)
    elapsed_s, archived = time.monotonic() - began_s, archiving.archived
    if args.json:
        print(msgspec.json.encode(archived).decode())
        return 0
    print(
        f"archive: {archived.records:,} records of {settings.behavior_topic} were added to {args.to} in "
        f"{elapsed_s:.1f} s: {archived.rows:,} rows, {archived.files:,} files, {archived.bytes:,} bytes"
        + (f"; {archived.deleted:,} offsets had been deleted" if archived.deleted else "")
    )
    for partition, position in sorted(archived.positions.items()):
        print(f"  partition {partition}: up to offset {position}")
    return 0


@contextlib.contextmanager
def _progress_line() -> Iterator[Callable[[int, int], None]]:
    """Show a line on the terminal that follows what is read while the block runs."""
    began_s = time.monotonic()
    with open_console(stderr=True).status("reading the topic …") as status:

        def tell(read: int, total: int) -> None:
            offsets_per_s = read / (time.monotonic() - began_s)
            status.update(f"{read:,} of {total:,} offsets archived, {offsets_per_s:,.0f}/s")

        yield tell
