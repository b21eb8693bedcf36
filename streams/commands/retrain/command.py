"""`thalweg retrain`: the arguments and the exit codes."""

import argparse
import os
import sys
from pathlib import Path

from encoder.commands.number_arguments import whole_number
from encoder.commands.preconditions import check_torch
from encoder.console import open_console
from export.runtime.bundle import Bundle
from streams.archive.files import S3
from streams.commands.retrain.retraining import FINISHED, LINK, NOTHING_NEW, Retraining
from streams.commands.retrain.stages import Request
from streams.config.errors import InputError
from streams.config.loading import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--archive", required=True, metavar="DIR", help="folder of the archive, also a new one")
    parser.add_argument(
        "--runs", required=True, type=Path, metavar="DIR", help="folder with a folder for each run and its report"
    )
    parser.add_argument(
        "--champion",
        metavar="BUNDLE",
        help="bundle whose vector space the new bundle takes over (default: the setting `bundle`)",
    )
    parser.add_argument(
        "--learn-on",
        action="store_true",
        help="continue the training of the champion with the records that came since the last run, instead of a new "
        "training on the whole archive",
    )
    parser.add_argument(
        "--min-records",
        type=whole_number(0),
        default=1,
        metavar="N",
        help="train only when N records came since the last finished run; otherwise the exit code is 3 (default 1)",
    )
    parser.add_argument("--no-backfill", action="store_true", help="end when the bundle is exported")
    parser.add_argument(
        "--shadow",
        action="store_true",
        help="go on as `thalweg shadow --replace` with the newest bundle of the runs, until SIGTERM or Ctrl-C",
    )
    parser.add_argument(
        "train_options", nargs="*", metavar="-- OPTION", help="options of `thalweg train`, behind two dashes"
    )


def run(args: argparse.Namespace) -> int:
    """Run the stages. Returns 0 with a new bundle, 3 without new records, 75 where a retry may help, otherwise 1.

    Raises InputError, ArchiveError, SettingsError, and BundleError for a champion that is no bundle.
    """
    check_torch("retraining")
    if args.archive.startswith(S3):
        raise InputError(f"--archive {args.archive}: a training reads files, so name the folder of an archive")
    if args.shadow and args.no_backfill:
        raise InputError("--shadow runs workers on the rows of a backfill: leave --no-backfill out")
    settings = load_settings()
    champion = args.champion or settings.bundle
    if args.learn_on and champion is None:
        raise InputError("--learn-on continues the training of a bundle: name the bundle with --champion")
    if champion is not None:
        Bundle.load(champion)  # a training takes hours, and its result is aligned with the champion at the end
    request = Request(
        archive=args.archive,
        champion=champion,
        learn_on=args.learn_on,
        backfill=not args.no_backfill,
        train_options=tuple(args.train_options),
    )
    console = open_console()
    code, bundle = Retraining(args.runs, request, args.min_records, console).run(), args.runs / LINK
    if args.shadow and code in (FINISHED, NOTHING_NEW) and bundle.exists():
        sys.stdout.flush()
        shadow = [sys.executable, "-m", "streams.cli", "shadow", str(bundle.resolve()), "--replace"]
        os.execv(sys.executable, shadow)
    if code != FINISHED:
        return code
    console.print(f"the new bundle is {bundle}; `thalweg shadow {bundle}` runs its workers", soft_wrap=True)
    return code
