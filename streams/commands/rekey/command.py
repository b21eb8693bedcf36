"""`thalweg rekey`: the arguments and the counts."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from typing import Any

from aiokafka.errors import KafkaError

from encoder.data.mapping import load_mapping
from streams.broker.partitioners.choice import choose_partitioner
from streams.broker.partitioners.rules import PARTITIONERS
from streams.broker.topics import describe_topic, ensure_topic
from streams.commands.map.report import count_lines
from streams.commands.rekey.rekey import Places, Rekey
from streams.config.errors import InputError
from streams.config.loading import load_settings
from streams.health.rights.check import check_broker_rights
from streams.health.rights.kafka_rights import dead_letter_topic, rekey_rights

STOP_LIMIT_S = 8.0  # A transaction takes less than a second where Kafka answers.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="TOPIC", help="topic whose records the mapping reads")
    parser.add_argument("--mapping", required=True, metavar="PRESET|FILE", help="how the records become events")
    parser.add_argument(
        "--to", required=True, metavar="TOPIC", help="topic of the event contract to write; made where it is missing"
    )
    parser.add_argument("--follow", action="store_true", help="go on with new records until the command is stopped")


def run(args: argparse.Namespace) -> int:
    """Write the events of the topic with their users as keys, and print the counts.

    The command begins where the last one with the same topics ended. Returns 0 when all records are carried, and with
    `--follow` also after a signal. Without `--follow`, a signal gives 128 and its number. Raises InputError,
    BrokerError, SettingsError and RightsError.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # aiokafka logs every retry; a final failure is raised
    if args.source == args.to:
        raise InputError(f"--to {args.to} is the topic to read: name another topic")
    mapping = load_mapping(args.mapping)
    settings = load_settings()
    check_broker_rights(settings, "rekey", rights=rekey_rights(args.source, args.to))
    partitions = describe_topic(settings, args.source).partitions
    letters = dead_letter_topic(args.source)
    ensure_topic(settings, args.to, partitions)
    ensure_topic(settings, letters, partitions)
    rule = PARTITIONERS[choose_partitioner(settings, args.to)]
    places = Places(*(describe_topic(settings, name).partitions for name in (args.to, letters)))
    rekey = Rekey(settings, args.source, args.to, mapping, rule, places)
    try:
        ended_by = asyncio.run(_run(rekey, args.follow))
    finally:
        for line in count_lines(rekey.counts):
            print(line)
        if rekey.erasures:
            print(f"{rekey.erasures:,} erasures")
        if rekey.counts.rejected:
            print(f"the dead letters stand in {rekey.dead_letters}")
    return 0 if args.follow or ended_by is None else 128 + ended_by


async def _run(rekey: Rekey, follow: bool) -> int | None:
    """Return the signal that ended the run, or None."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_report)
    signals: list[int] = []

    def stop(number: int) -> None:
        if not signals:
            loop.call_later(STOP_LIMIT_S, _give_up, number)
        signals.append(number)
        rekey.stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stop, number)
    await rekey.run(follow)
    return signals[0] if signals else None


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Leave out errors of Kafka that nobody awaits. The first one is raised, and every record of a batch has one."""
    if not isinstance(context.get("exception"), KafkaError):
        loop.default_exception_handler(context)


def _give_up(number: int) -> None:
    """End the process although Kafka does not answer. The transaction under way is aborted, and loses nothing."""
    print(f"thalweg rekey: Kafka does not answer, so the command ends within {STOP_LIMIT_S:g} s", file=sys.stderr)
    sys.stderr.flush()
    os._exit(128 + number)
