"""`thalweg represent`: the arguments, the run in a temporary folder, and the counts."""

import argparse
import importlib.util
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from encoder.commands.log_arguments import (
    LOG_HELP,
    TakeLog,
    add_format_arguments,
    add_max_unparsable_argument,
    add_threads_argument,
    check_unparsable,
)
from encoder.commands.preconditions import check_writable_file
from encoder.console import open_console
from encoder.data.loaders import LogReport, log_parts
from export.runtime.bundle import Bundle
from streams.archive.opening import open_reader
from streams.commands.represent.stored_ids import stored_id_in
from streams.config.errors import InputError

if TYPE_CHECKING:
    from export.point_in_time.records import Records
    from export.point_in_time.represent import Counts
    from streams.archive.reader import ArchiveReader

_ARCHIVE_ROWS = 1 << 16  # that are read from an archive at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", required=True, metavar="DIR", help="bundle that steps the users")
    parser.add_argument(
        "--events",
        required=True,
        nargs="+",
        metavar="LOG",
        action=TakeLog,
        help=f"event log of the users: {LOG_HELP}; or one archive of `thalweg archive`",
    )
    parser.add_argument(
        "--at",
        required=True,
        type=Path,
        metavar="LABELS.parquet",
        help="Parquet file with the columns user_id, and time_ms in milliseconds since 1970-01-01 UTC",
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="FEATURES.parquet",
        help="file to write: the rows and columns of the labels, with the columns representation, steps and "
        "last_time_ms; temporary files are written beside it",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file of --out")
    add_format_arguments(parser)
    add_max_unparsable_argument(parser)
    add_threads_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the counts as one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    """Write the vectors of the labels, and print the counts."""
    by_arrival = _check_arguments(args)
    # These are imported only here, because pyarrow and ONNX Runtime take a moment to load.
    from export.point_in_time.label_file import LabelFile
    from export.point_in_time.represent import Run
    from export.runtime.stepper import Stepper

    began_s = time.perf_counter()
    console = open_console(stderr=args.json)
    archive = open_reader(args.events[0]) if by_arrival else None
    stored_id = str if archive is None else stored_id_in(archive.files.address, archive.description.decoder)
    bundle, labels = Bundle.load(args.bundle), LabelFile(args.at, stored_id)
    try:
        with tempfile.TemporaryDirectory(dir=args.out.parent, prefix=f".{args.out.name}-") as temporary:
            vectors = Run(bundle, Stepper(bundle, args.threads), labels, Path(temporary))
            with console.status("") as status:
                events = _logged(args, bundle, console) if archive is None else _archived(archive, bundle, console)
                counts = vectors.compute(events, by_arrival=by_arrival, on_progress=status.update)
                status.update("the result is written")
                draft = Path(temporary) / "features.parquet"
                vectors.write(draft)
            draft.replace(args.out)
    except OSError as error:
        raise InputError(
            f"--out {args.out} or its temporary files could not be written: {error}; the folder needs about 100 bytes "
            "for each event and the size of the result"
        ) from None
    _report(args, console, bundle, counts, time.perf_counter() - began_s)
    return 0


def _check_arguments(args: argparse.Namespace) -> bool:
    """Whether --events names an archive. Raises InputError where arguments contradict each other."""
    if importlib.util.find_spec("pyarrow") is None:
        raise InputError("labels need pyarrow: install Thalweg with its `train` extra or its `archive` extra")
    check_writable_file(args.out, f"--out {args.out}")
    if not args.out.parent.is_dir():
        raise InputError(f"--out {args.out} cannot be written: name a file in an existing folder")
    if args.out.exists() and not args.overwrite:
        raise InputError(f"--out {args.out} exists: name another file, or replace the file with --overwrite")
    if args.out.exists() and args.at.exists() and args.out.samefile(args.at):
        raise InputError(f"--out {args.out} is the file of --at: name another file")
    archives = [log for log in args.events if _is_archive(log)]
    if not archives:
        return False
    if len(args.events) > 1:
        raise InputError(f"--events names the archive {archives[0]} and other logs: name the archive alone")
    for name in ("format", "columns", "mapping"):
        if getattr(args, name) is not None:
            raise InputError(f"--{name} is for logs, and an archive has one format: leave --{name} out")
    return True


def _is_archive(log: str) -> bool:
    return log.startswith("s3://") or (Path(log) / "archive.json").is_file()


def _logged(args: argparse.Namespace, bundle: Bundle, console: Console) -> "Iterator[Records]":
    """The events of the log. At its end, prints what became of the rows, and checks --max-unparsable."""
    from export.point_in_time.log_events import events_of_log

    report = LogReport(counts_duplicates=False)
    parts = log_parts(args.events, report, args.format, args.columns, args.mapping)
    yield from events_of_log(parts, bundle, by_lines=args.mapping is not None)
    check_unparsable(report, args.max_unparsable, args.events, console)


def _archived(archive: "ArchiveReader", bundle: Bundle, console: Console) -> "Iterator[Records]":
    """The events and erasures of the archive. At its end, prints the counts."""
    from export.point_in_time.archive_events import events_of_archive

    for partition in archive.partitions:
        if (first := archive.complete_from(partition) or 0) > 0:
            console.print(
                f"partition {partition} lacks records before offset {first}: the vectors of users with such records "
                "are not those that were stored",
                highlight=False,
                soft_wrap=True,
            )
    batches = (batch for partition in archive.partitions for batch in archive.read(partition, rows=_ARCHIVE_ROWS))
    kinds: Counter[str] = Counter()
    yield from events_of_archive(batches, bundle, kinds)
    text = ", ".join(f"{count:,} of kind {kind}" for kind, count in sorted(kinds.items()))
    console.print(f"{kinds.total():,} rows of the archive: {text or 'none'}", highlight=False, soft_wrap=True)


def _report(args: argparse.Namespace, console: Console, bundle: Bundle, counts: "Counts", seconds: float) -> None:
    console.print(
        f"{counts.labels:,} labels of {counts.users:,} users in {args.out}: vectors of {bundle.bundle_id} with "
        f"{bundle.manifest.representation_width} components, from {counts.applied:,} events of these users "
        f"({counts.repeats:,} repeats left out), in {seconds:,.1f} s",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if counts.without_history:
        hint = ": check that user_id and time_ms fit the events" if counts.without_history == counts.labels else ""
        console.print(
            f"{counts.without_history:,} labels have no event before their moment, and so the vector of a user without "
            f"history{hint}",
            highlight=False,
            soft_wrap=True,
        )
    if args.json:
        print(json.dumps({"bundle_id": bundle.bundle_id, **counts._asdict(), "seconds": round(seconds, 2)}))
