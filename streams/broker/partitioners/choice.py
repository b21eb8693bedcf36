"""The rule by which a topic's producers choose partitions: from the setting, or from a sample of the topic's records.

Guaranteed: a setting that the records contradict is an error. Not guaranteed: a topic whose producers follow different
rules gets the rule that explains most records, and a warning.
"""

import asyncio
import logging

from aiokafka import TopicPartition

from streams.broker.clients import open_consumer
from streams.broker.partitioners.rules import DEFAULT, PARTITIONERS, Judgement, KeyedRecord, judge
from streams.broker.topics import Topic, describe_topic
from streams.config.errors import SettingsError
from streams.config.settings import Settings, setting_label

logger = logging.getLogger(__name__)

# The newest records of each partition, and of all partitions together.
RECORDS_OF_PARTITION, RECORDS = 200, 4_000
LEAST_OF_PARTITION = 20
POLL_S = 0.1


def choose_partitioner(settings: Settings, topic: str, limit_s: float = 2.0) -> str:
    """The rule for records that Thalweg sends to the topic. Logs a warning where the records contradict the rule.

    limit_s: the time after which the records that have come are the sample. Blocks. Raises BrokerError, and
    SettingsError where the setting names another rule than the one that the records follow.
    """
    judgement = judge_topic(settings, topic, limit_s)
    check_setting(settings, topic, judgement)
    doubt = doubt_of(settings, topic, judgement)
    if doubt is not None and settings.mapping is None:  # with a mapping, the key need not be the user
        logger.warning("%s", doubt)
    return settings.partitioner or judgement.best


def judge_topic(settings: Settings, topic: str, limit_s: float = 2.0) -> Judgement:
    """What the newest records of the topic say. Blocks. Raises BrokerError, also where there is no such topic."""
    described = describe_topic(settings, topic)
    return judge(asyncio.run(_newest_records(settings, described, limit_s)), described.partitions)


def check_setting(settings: Settings, topic: str, judgement: Judgement) -> None:
    """Raises SettingsError where the setting names one rule and the records prove another."""
    named, proven = settings.partitioner, judgement.proven
    if named is not None and proven is not None and named != proven:
        against = judgement.against(named, settings.pseudonym_key is None)
        raise SettingsError(
            f"setting {setting_label('partitioner')} is {named!r}, and the last {judgement.keys} keys of topic {topic} "
            f"follow {proven!r}: {against}; set THALWEG_PARTITIONER to {proven}, or leave the setting out"
        )


def doubt_of(settings: Settings, topic: str, judgement: Judgement) -> str | None:
    """Why the records of the topic do not follow the rule, or None where they do."""
    rule = settings.partitioner or judgement.best
    if rule in judgement.explaining:
        return None
    if judgement.explaining:
        found = f"the setting {setting_label('partitioner')} does not explain all of"
    else:
        found = f"none of {', '.join(PARTITIONERS)} explains"
    return (
        f"{found} the partitions of the last {judgement.keys} keys of topic {topic}: "
        f"{judgement.against(rule, settings.pseudonym_key is None)}; "
        "all producers must use the user id as the key and choose the partition by one rule, see docs/contracts.md"
    )


def describe_judgement(judgement: Judgement) -> str:
    """The result in words, where the records contradict nothing."""
    if judgement.partitions == 1:
        return "one partition, so every rule chooses it"
    if not judgement.keys:
        return f"no record with a key yet, so {DEFAULT} is used where the setting names no rule"
    rules = " and ".join(judgement.explaining)
    if judgement.proven is None:
        return f"{rules} explain the last {judgement.keys} keys, which are too few to tell"
    return f"the last {judgement.keys} keys follow {rules}"


async def _newest_records(settings: Settings, topic: Topic, limit_s: float) -> list[KeyedRecord]:
    """The newest events with a key. Erasures are left out, because earlier versions always sent them by murmur2."""
    size = max(LEAST_OF_PARTITION, min(RECORDS_OF_PARTITION, RECORDS // topic.partitions))
    stable, starts = topic.stable_offsets, topic.start_offsets
    ends = {TopicPartition(topic.name, p): end for p, end in stable.items() if end > starts[p]}
    if not ends:
        return []  # The stop of a consumer without an assignment raises CancelledError (aiokafka 0.14.0).
    found: list[KeyedRecord] = []
    failure = f"topic {topic.name} at {settings.broker} could not be read"
    loop = asyncio.get_running_loop()
    async with open_consumer(settings, failure, max_poll_records=RECORDS) as consumer:
        consumer.assign(list(ends))
        for tp, end in ends.items():
            consumer.seek(tp, max(starts[tp.partition], end - size))
        give_up_at_s = loop.time() + limit_s
        left = set(ends)
        while left and loop.time() < give_up_at_s:
            for records in (await consumer.getmany(*left, timeout_ms=int(POLL_S * 1000))).values():
                found += [KeyedRecord(r.partition, r.offset, r.key) for r in records if r.key and r.value is not None]
            left = {tp for tp in left if await consumer.position(tp) < ends[tp]}
    return found
