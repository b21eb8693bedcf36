"""`thalweg backfill`: the arguments and the report."""

import argparse
from importlib.util import find_spec

import msgspec

from encoder.commands.number_arguments import whole_number
from encoder.lineage import Dataset, lineage
from encoder.wording import counted
from export.runtime.bundle import Bundle
from streams.archive.opening import check_packages
from streams.commands.backfill.progress import Progress
from streams.config.cores import usable_cores
from streams.config.errors import SettingsError
from streams.config.loading import load_settings
from streams.store.cql_schema import representations_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", help="folder of the bundle (default: the setting `bundle`)")
    parser.add_argument(
        "--from", dest="archive", required=True, metavar="ARCHIVE", help="archive of the topic (thalweg archive)"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--threads", type=whole_number(1), metavar="N", help="threads that step (default: one for each core)"
    )
    where.add_argument("--spark", metavar="MASTER", help="step on Spark, for example local[4] or spark://HOST:7077")
    parser.add_argument("--json", action="store_true", help="print the counts as one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    """Step the history into the bundle's rows, and print the counts.

    Raises InputError, SettingsError, RightsError, ArchiveError, BrokerError, StoreError, SparkError.
    """
    check_packages()
    if args.spark is not None and find_spec("pyspark") is None:
        raise SettingsError("--spark needs the package pyspark: install thalweg[spark]")
    from streams.commands.backfill.stages import backfill

    settings = load_settings()
    bundle = Bundle.load(settings.bundle_folder(args.bundle))
    table = f"{settings.keyspace}.{representations_table(bundle.manifest.representation_width)}"
    rows = Dataset.of_table(settings.cassandra.partition(",")[0], table, version=bundle.bundle_id)
    inputs = [Dataset.at(args.archive), Dataset.at(bundle.path, version=bundle.bundle_id)]
    with lineage("backfill", inputs, [rows]) as told:
        progress = backfill(settings, bundle, args.archive, args.threads or usable_cores(), args.spark)
        told.outputs = [rows._replace(rows=progress.rows)]
    print(msgspec.json.encode(progress).decode() if args.json else _report(progress))
    return 0


def _report(done: Progress) -> str:
    gaps = "".join(f"backfill: {gap}\n" for gap in done.gaps)
    return (
        f"{gaps}backfill: {counted(done.events, 'event')} applied in {done.elapsed_s:,.1f} s "
        f"({done.events_per_s:,.0f}/s), {counted(done.already_applied, 'record')} already applied, "
        f"{done.rejected:,} rejected, {done.skipped:,} skipped, {counted(done.erasures, 'erasure')}, "
        f"{counted(done.dead_letters, 'dead letter')}, {counted(done.rows, 'row')} written; the bundle's "
        "workers go on from here"
    )
