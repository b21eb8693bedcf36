"""Checks of the records in the behaviour topic: how many of the last records a worker would reject."""

import asyncio
import math
from collections.abc import Iterator

from streams.broker.clients import open_consumer
from streams.broker.topic_reader import read_partition
from streams.broker.topics import Topic
from streams.commands.doctor.finding import Finding
from streams.config.settings import Settings
from streams.engine.codec import Outcome, Rejected, decode_batch

SAMPLE = 1_000  # records of all partitions together


def check_events(settings: Settings, topic: Topic) -> Iterator[Finding]:
    """Decode the last records of the behaviour topic as a worker does. Raises BrokerError.

    Yields nothing for an empty topic.
    """
    outcomes = asyncio.run(_last_outcomes(settings, topic)) if topic.records else []
    if outcomes:
        yield sample_finding(topic.name, outcomes)


def sample_finding(name: str, outcomes: list[Outcome]) -> Finding:
    """The finding about the decoded records of a topic of this name. outcomes: at least one."""
    rejected = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    if not rejected:
        return Finding("ok", "events", f"the last {len(outcomes)} records of {name} keep the contract")
    detail = f"{len(rejected)} of the last {len(outcomes)} records of {name} break the contract: {rejected[-1].reason}"
    remedy = "a worker makes dead letters of these records: compare the producer with docs/contracts.md"
    return Finding("failed" if len(rejected) == len(outcomes) else "note", "events", detail, remedy)


async def _last_outcomes(settings: Settings, topic: Topic) -> list[Outcome]:
    """What the last records of each partition decode to."""
    each = math.ceil(SAMPLE / topic.partitions)
    outcomes: list[Outcome] = []
    failure = f"topic {topic.name} at {settings.broker} could not be read"
    async with open_consumer(settings, failure) as consumer:
        for partition, end in topic.stable_offsets.items():
            start = max(topic.start_offsets[partition], end - each)
            async for records in read_partition(consumer, topic.name, partition, start, end):
                outcomes += decode_batch(records)
    return outcomes
