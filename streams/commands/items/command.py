"""`thalweg items`: the arguments and the output."""

import argparse
import json
import logging
from pathlib import Path

from encoder.wording import counted
from streams.commands.items.item_file import load_items
from streams.commands.items.sending import send_items
from streams.config.loading import load_settings
from streams.contracts.catalogue_items import FIELDS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        type=Path,
        help=f"items as JSON Lines, .csv, .tsv or .parquet (needs pyarrow), also in gzip or zstd, with the columns "
        f"{', '.join(FIELDS)}; only item_id is needed",
    )
    parser.add_argument(
        "--complete",
        action="store_true",
        help="the file is the whole catalogue: remove the items that the file lacks (default: such items stay)",
    )
    parser.add_argument("--json", action="store_true", help="print the counts as one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    """Check the whole file, send its items and print the counts. Raises InputError, BrokerError, SettingsError."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # aiokafka logs every retry; a final failure is raised
    settings = load_settings()
    found = load_items(args.file)
    sent = send_items(settings, found.values, args.complete)
    if args.json:
        counts = {"sent": sent.items, "removed": sent.removed, "ignored_columns": found.ignored}
        print(json.dumps({**counts, "elapsed_s": round(sent.elapsed_s, 3)}))
        return 0
    removed = f", {sent.removed} removed that the file lacks" if args.complete else ""
    print(f"items: {counted(sent.items, 'item')} sent to {settings.catalogue_topic} in {sent.elapsed_s:.1f} s{removed}")
    if found.ignored:
        print(f"these columns are no fields of an item and were ignored: {', '.join(found.ignored)}")
    return 0
