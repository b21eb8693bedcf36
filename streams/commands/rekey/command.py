"""`thalweg rekey`: the arguments and the counts."""

import argparse
import asyncio
import logging

from encoder.data.mapping import load_mapping
from streams.broker.partitioners.choice import choose_partitioner
from streams.broker.partitioners.rules import PARTITIONERS
from streams.broker.topics import describe_topic, ensure_topic
from streams.commands.map.report import count_lines
from streams.commands.rekey.rekey import Rekey, dead_letter_topic
from streams.config.errors import InputError
from streams.config.loading import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="TOPIC", help="topic whose records the mapping reads")
    parser.add_argument("--mapping", required=True, metavar="PRESET|FILE", help="how the records become events")
    parser.add_argument(
        "--to", required=True, metavar="TOPIC", help="topic of the event contract to write; made where it is missing"
    )
    parser.add_argument("--follow", action="store_true", help="go on with new records until the command is stopped")


def run(args: argparse.Namespace) -> int:
    """Write the events of the topic with their users as keys, and print the counts.

    The command begins where the last one with the same topics ended. Raises InputError, BrokerError and SettingsError.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # aiokafka logs every retry; a final failure is raised
    if args.source == args.to:
        raise InputError(f"--to {args.to} is the topic to read: name another topic")
    mapping = load_mapping(args.mapping)
    settings = load_settings()
    partitions = describe_topic(settings, args.source).partitions
    ensure_topic(settings, args.to, partitions)
    ensure_topic(settings, dead_letter_topic(args.source), partitions)
    rule = PARTITIONERS[choose_partitioner(settings, args.to)]
    places = describe_topic(settings, args.to).partitions
    rekey = Rekey(settings, args.source, args.to, mapping, lambda key: rule(key, places))
    try:
        asyncio.run(rekey.run(args.follow))
    finally:
        for line in count_lines(rekey.counts):
            print(line)
        if rekey.erasures:
            print(f"{rekey.erasures:,} erasures")
        if rekey.counts.rejected:
            print(f"the dead letters stand in {rekey.dead_letters}")
    return 0
