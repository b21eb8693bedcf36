"""`thalweg rekey`: the arguments and the counts."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from aiokafka.errors import KafkaError

from encoder.data.contract.quoting import without_controls
from encoder.data.mapping import Mapping, SourceRecord, load_mapping
from encoder.data.mapping.proposals import read_sample
from encoder.wording import counted
from streams.broker.partitioners.choice import choose_partitioner
from streams.broker.partitioners.rules import PARTITIONERS
from streams.broker.topics import Topic, describe_topic, ensure_topic, topic_exists
from streams.commands.map.report import count_lines
from streams.commands.map.sample import Sample, read_part
from streams.commands.rekey.rekey import Places, Rekey
from streams.config.errors import InputError
from streams.config.loading import load_settings
from streams.config.settings import Settings, setting_label
from streams.health.rights.check import check_broker_rights
from streams.health.rights.kafka_rights import dead_letter_topic, rekey_id, rekey_rights

SAMPLE = 1_000  # records by which the mapping is checked
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
    BrokerError, SettingsError, RegistryError and RightsError.
    """
    for name in ("aiokafka", "kafka"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # Both log every retry. A final failure is raised.
    mapping = load_mapping(args.mapping)
    settings = load_settings()
    check_target(settings, args.source, args.to)
    check_broker_rights(settings, "rekey", rights=rekey_rights(args.source, args.to))
    topic = describe_topic(settings, args.source, rekey_id(args.source, args.to))
    check_offsets(topic, args.to, topic_exists(settings, args.to))
    check_mapping(mapping, *(partial(read_part, settings, args.source, SAMPLE, of_oldest=one) for one in (False, True)))
    partitions = topic.partitions
    letters = dead_letter_topic(args.source)
    ensure_topic(settings, args.to, partitions)
    ensure_topic(settings, letters, partitions)
    rule = PARTITIONERS[choose_partitioner(settings, args.to)]
    places = Places(*(describe_topic(settings, name).partitions for name in (args.to, letters)))
    rekey = Rekey(settings, args.source, args.to, mapping, rule, places)
    try:
        ended_by = asyncio.run(_run(rekey, args.follow))
    finally:
        for line in count_lines(rekey.counts, are_written=True):
            print(line)
        if rekey.erasures:
            print(f"{counted(rekey.erasures, 'erasure')}")
        if rekey.counts.rejected:
            print(f"the dead letters stand in {rekey.dead_letters}")
    return 0 if args.follow or ended_by is None else 128 + ended_by


def check_target(settings: Settings, source: str, target: str) -> None:
    """Raises InputError where the target is the source, or a topic that Thalweg writes for another purpose."""
    if source == target:
        raise InputError(f"--to {target} is the topic to read: name another topic")
    if target == dead_letter_topic(source):
        raise InputError(f"--to {target} is the topic of rejected records: name another topic")
    for field in (name for name in Settings.__struct_fields__ if name.endswith("_topic")):
        if field != "behavior_topic" and getattr(settings, field) == target:
            raise InputError(f"--to {target} is the {setting_label(field)}: name the topic that a worker reads")


def check_offsets(source: Topic, target: str, is_there: bool) -> None:
    """Raises InputError where the target was deleted and the records up to the group's offsets would be missing in it.

    source: with the commits of the command's group. is_there: whether the target exists.
    """
    if not is_there and any(source.committed.values()):
        group = rekey_id(source.name, target)
        raise InputError(
            f"there is no topic {target}, and group {group} has offsets of an earlier one, behind which the command "
            "would begin: name another topic, or delete the group with `kafka-consumer-groups.sh --delete --group "
            f"{group}`, and the command writes all records"
        )


def check_mapping(mapping: Mapping, read_newest: Callable[[], Sample], read_oldest: Callable[[], Sample]) -> None:
    """Raises InputError where the mapping rejects newest records and gives no event for newest and oldest records.

    All records would become dead letters, and the next run would begin behind them. Records that are unreadable say
    nothing about the mapping, unless all are. The oldest records tell where a producer has begun to send other records.
    """
    sample = read_newest()
    reading = read_sample(mapping, [one for one in sample.records if isinstance(one, SourceRecord)] or sample.records)
    if reading.events or not reading.rejected or read_sample(mapping, read_oldest().records).events:
        return
    reason = reading.reasons[reading.rejected.most_common(1)[0][0]]
    raise InputError(
        f"mapping {mapping.name} gives no event for the newest {len(sample.records):,} records of {sample.of}, nor for "
        f"the oldest ones, and nothing is written: {without_controls(reason)}; see `thalweg map` with --mapping"
    )


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
    await rekey.run(follow, lambda: _tell(rekey))
    return signals[0] if signals else None


def _tell(rekey: Rekey) -> None:
    """Tell that new records are waited for."""
    print(f"rekey: {rekey.counts.records:,} records are carried, and new ones follow as they come", flush=True)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Leave out errors of Kafka that nobody awaits. The first one is raised, and every record of a batch has one."""
    if not isinstance(context.get("exception"), KafkaError):
        loop.default_exception_handler(context)


def _give_up(number: int) -> None:
    """End the process although Kafka does not answer. The transaction under way is aborted, and loses nothing."""
    print(f"thalweg rekey: Kafka does not answer, so the command ends within {STOP_LIMIT_S:g} s", file=sys.stderr)
    sys.stderr.flush()
    os._exit(128 + number)
