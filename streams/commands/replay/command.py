"""`thalweg replay`: the arguments, the progress line and the counts."""

import argparse
import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from rich.console import Console
from rich.status import Status

from encoder.commands.log_arguments import LOG_HELP
from encoder.commands.number_arguments import positive, share
from encoder.data.loaders import COLUMNS_HELP, FORMATS, MAPPING_HELP
from encoder.wording import counted
from streams.broker.partitioners.choice import choose_partitioner
from streams.broker.topics import ensure_topics, topic_exists
from streams.commands.replay.log_records import LogRecords
from streams.commands.replay.producer import MAX_RECORD_BYTES, Replay
from streams.config.errors import SettingsError
from streams.config.loading import load_settings
from streams.config.settings import setting_label

PROGRESS_INTERVAL_S = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("log", nargs="+", metavar="LOG", help=f"event log: {LOG_HELP}")
    parser.add_argument(
        "--format", choices=FORMATS, help="format of the log (default: parquet, csv or jsonl by the name of the file)"
    )
    names = parser.add_mutually_exclusive_group()
    names.add_argument("--columns", metavar="FIELD=COLUMN,...", help=COLUMNS_HELP)
    names.add_argument("--mapping", metavar="PRESET|FILE", help=MAPPING_HELP)
    part = parser.add_mutually_exclusive_group()
    part.add_argument("--first", type=share, metavar="FRACTION", help="send only this first part of the log in time")
    part.add_argument("--rest", type=share, metavar="FRACTION", help="send only the part after this first part")
    parser.add_argument("--rate", type=positive, metavar="EVENTS_PER_S", help="events per second (default: full speed)")
    parser.add_argument("--bootstrap", metavar="HOST:PORT", help="address of a broker (default: the setting `broker`)")
    parser.add_argument("--topic", help="topic to send to (default: the setting `behavior_topic`)")
    parser.add_argument("--json", action="store_true", help="print the counts as one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    """Send the log and print the counts. Returns 1 when a record was too large to be sent."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # aiokafka logs every retry; a final failure is raised
    # --bootstrap acts as a setting: the password of a local service must not go to another broker.
    named = {"THALWEG_BROKER": args.bootstrap} if args.bootstrap else {}
    settings = load_settings({**os.environ, **named})
    settings = msgspec.structs.replace(settings, behavior_topic=args.topic or settings.behavior_topic)
    if settings.mapping is not None and args.topic is None:
        raise SettingsError(
            f"workers read {settings.behavior_topic} by the setting {setting_label('mapping')}, and a replay sends "
            "events of the event contract: name another topic with --topic, or leave the setting out"
        )
    records = LogRecords(args.log, args.format, args.columns, first=args.first, rest=args.rest, mapping=args.mapping)
    # A topic that the user names must exist. A producer who may see the topic needs no right on the others.
    if args.topic is None and not topic_exists(settings, settings.behavior_topic):
        ensure_topics(settings)
    partitioner = choose_partitioner(settings, settings.behavior_topic)
    replay = Replay(settings, settings.behavior_topic, args.rate, partitioner)
    with _progress_line(replay):
        replay.run(records)
    _print_counts(replay, records, args.json)
    return 1 if replay.failed else 0


def _print_counts(replay: Replay, records: LogRecords, as_json: bool) -> None:
    records_per_s = round(replay.sent / replay.elapsed_s, 1)
    if as_json:
        counts = {
            "sent": replay.sent,
            "failed": replay.failed,
            "moved": records.moved,
            "late": records.late,
            "skipped": records.skipped,
            "elapsed_s": round(replay.elapsed_s, 3),
            "records_per_s": records_per_s,
        }
        print(json.dumps(counts))
        return
    print(
        f"replay: {counted(replay.sent, 'record')} sent to {replay.topic} in {replay.elapsed_s:.1f} s "
        f"({records_per_s:.0f}/s), {replay.failed} failed"
        + (f": each larger than {MAX_RECORD_BYTES} bytes" if replay.failed else "")
    )
    if records.moved:
        moved = counted(records.moved, "row of the file stands", "rows of the file stand")
        print(f"{moved} behind a later event: all rows were sent in order of time")
    if records.skipped:
        skipped = counted(records.skipped, "line of the log is no event", "lines of the log are no events")
        print(f"{skipped} by the mapping: not sent")
    if records.late:
        print(
            f"{counted(records.late, 'event stands', 'events stand')} behind a later event of the user: JSON Lines are "
            "sent in the order of the file; sort the file by event_time_ms if these events are not late on purpose"
        )


@contextmanager
def _progress_line(replay: Replay) -> Iterator[None]:
    """Show a line on the terminal that follows the counts while the block runs."""
    is_over = threading.Event()

    def follow(status: Status) -> None:
        began_s, before = time.monotonic(), 0
        while not is_over.wait(PROGRESS_INTERVAL_S):
            records_per_s, before = (replay.sent - before) / PROGRESS_INTERVAL_S, replay.sent
            elapsed_s = time.monotonic() - began_s
            if before:
                status.update(f"{before:,} records sent, {records_per_s:,.0f}/s, {elapsed_s:.0f} s")

    with Console(stderr=True).status("reading the log …") as status:
        thread = threading.Thread(target=follow, args=[status], name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()
