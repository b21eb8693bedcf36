"""`thalweg subject`: the arguments and the output."""

import argparse
from pathlib import Path

import msgspec

from export.runtime.bundle import Bundle
from streams.commands.subject.report import SubjectReport
from streams.commands.subject.subject import gather
from streams.config.errors import InputError
from streams.config.loading import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", help="user_id of the user to look for")
    parser.add_argument(
        "--bundle",
        action="append",
        default=[],
        metavar="FOLDER",
        help="folder of a bundle, which names the recent and the bought items of its rows (default: the setting "
        "`bundle`; may stand several times)",
    )
    parser.add_argument(
        "--all-partitions",
        action="store_true",
        help="search also the partitions into which the rule of the producers puts no record of the user",
    )
    parser.add_argument("--archive", metavar="ADDRESS", help="search this archive too")
    parser.add_argument("--out", metavar="FILE", help="write the JSON document into this file")
    parser.add_argument("--overwrite", action="store_true", help="replace the file of --out")
    parser.add_argument("--json", action="store_true", help="print the JSON document")


def run(args: argparse.Namespace) -> int:
    """Gather and write what is held of the user. Returns 1 where a place could not be read. Raises InputError."""
    if args.out and Path(args.out).exists() and not args.overwrite:
        raise InputError(f"--out {args.out} exists: name another file, or replace the file with --overwrite")
    settings = load_settings()
    folders = args.bundle or ([settings.bundle] if settings.bundle else [])
    bundles = [Bundle.load(folder) for folder in folders]
    items = {one.bundle_id: ["", *one.item_index] for one in bundles}
    report = gather(settings, args.user, items, args.all_partitions, args.archive)
    document = msgspec.json.format(msgspec.json.encode(report), indent=2).decode()
    if args.out:
        try:
            Path(args.out).write_text(document + "\n")
        except OSError as error:
            raise InputError(f"--out {args.out} cannot be written: {error.strerror}") from error
    if args.json:
        print(document)
    else:
        _print(report, args.out)
    return 0 if report.is_complete else 1


def _print(report: SubjectReport, out: str | None) -> None:
    for looked in report.looked_at:
        if looked.found:
            print(f"  {looked.place}: {looked.found}")
    for missed in report.not_looked_at:
        print(f"  NOT READ: {missed.place}: {missed.reason}")
    found = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in report.counts().items())
    verdict = "every place that may hold more was read" if report.is_complete else "NOT COMPLETE, see the lines above"
    print(f"subject: user {report.user_id!r}: {found}; {verdict}")
    if out:
        print(f"subject: the document stands in {out}")
    else:
        print("subject: --json prints the document, and --out writes it into a file")
