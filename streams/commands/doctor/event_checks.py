"""Checks of the records in the behaviour topic: how many of the last records a worker would reject."""

import asyncio
import math
from collections import Counter
from collections.abc import Iterator

from encoder.data.contract.quoting import quote
from streams.broker.clients import open_consumer
from streams.broker.record_decoder import open_decoder
from streams.broker.topic_reader import read_partition
from streams.broker.topics import Topic
from streams.commands.doctor.finding import Finding
from streams.config.settings import Settings
from streams.engine.codec import Erasure, Outcome, RecordDecoder, Rejected, Skipped, WithoutUser

SAMPLE = 1_000  # records of all partitions together
SHOWN_VALUES = 5


def check_events(settings: Settings, topic: Topic) -> Iterator[Finding]:
    """Decode the last records of the behaviour topic as a worker does. Raises BrokerError, MappingError.

    Yields nothing for an empty topic.
    """
    decoder = open_decoder(settings)
    if settings.mapping is not None:
        yield Finding("ok", "mapping", f"{topic.name} is read by {decoder.name}")
    found = asyncio.run(_last_outcomes(settings, topic, decoder)) if topic.records else []
    if found:
        yield sample_finding(topic.name, [outcome for _, outcome in found])
    if settings.mapping is not None:
        yield from users_finding(topic.name, found)


def sample_finding(name: str, outcomes: list[Outcome]) -> Finding:
    """The finding about the decoded records of a topic of this name. outcomes: at least one."""
    rejected = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    skipped = [outcome for outcome in outcomes if isinstance(outcome, Skipped)]
    others = f", {len(skipped)} are skipped by the mapping: {_most_skipped(skipped)}" if skipped else ""
    if len(skipped) == len(outcomes):
        detail = f"the mapping skips all of the last {len(outcomes)} records of {name}: {_most_skipped(skipped)}"
        return Finding("failed", "events", detail, "compare the mapping with the records: run `thalweg map`")
    if not rejected:
        return Finding("ok", "events", f"the last {len(outcomes)} records of {name} keep the contract{others}")
    detail = f"{len(rejected)} of the last {len(outcomes)} records of {name} break the contract: {rejected[-1].reason}"
    remedy = "a worker makes dead letters of these records: compare the producer with docs/contracts.md"
    nothing_else = len(rejected) + len(skipped) == len(outcomes)
    return Finding("failed" if nothing_else else "note", "events", detail + others, remedy)


def users_finding(name: str, found: list[tuple[int, Outcome]]) -> Iterator[Finding]:
    """The finding about users whose records stand in several partitions. found: the partition of each record."""
    partitions: dict[str, set[int]] = {}
    for partition, outcome in found:
        if not isinstance(outcome, WithoutUser | Erasure):
            partitions.setdefault(outcome.user_id, set()).add(partition)
    scattered = [user_id for user_id, several in partitions.items() if len(several) > 1]
    if scattered:
        detail = (
            f"{len(scattered)} of {len(partitions)} users of the last records of {name} have records in several "
            f"partitions, such as {quote(scattered[0])}"
        )
        remedy = "a worker takes the events of one partition: write a topic keyed by user with `thalweg rekey`"
        yield Finding("failed", "partitions", detail, remedy)


def _most_skipped(skipped: list[Skipped]) -> str:
    values = Counter(f"{one.reason} {one.value}" for one in skipped).most_common(SHOWN_VALUES)
    return ", ".join(f"{value} ({count})" for value, count in values)


async def _last_outcomes(settings: Settings, topic: Topic, decoder: RecordDecoder) -> list[tuple[int, Outcome]]:
    """What the last records of each partition decode to, each with its partition."""
    each = math.ceil(SAMPLE / topic.partitions)
    found: list[tuple[int, Outcome]] = []
    failure = f"topic {topic.name} at {settings.broker} could not be read"
    async with open_consumer(settings, failure) as consumer:
        for partition, end in topic.stable_offsets.items():
            start = max(topic.start_offsets[partition], end - each)
            async for records in read_partition(consumer, topic.name, partition, start, end):
                found += [(partition, outcome) for outcome in decoder.decode_batch(records)]
    return found
