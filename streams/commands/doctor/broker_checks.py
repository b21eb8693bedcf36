"""Checks of Kafka: the brokers, the topics with their partitions and settings, and the rule of the producers."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from kafka.errors import KafkaConnectionError, NodeNotReadyError

from encoder.wording import counted
from export.runtime.bundle import Bundle
from streams.broker.partitioners.choice import check_setting, describe_judgement, doubt_of, judge_topic
from streams.broker.topic_settings import faults, in_sync_fault, output_topics, planned_topics, read_topic_settings
from streams.broker.topics import broker_admin, describe_topic
from streams.commands.doctor.event_checks import check_events
from streams.commands.doctor.failures import AGAIN, ServiceAwayError
from streams.commands.doctor.finding import Finding
from streams.config.errors import SettingsError
from streams.config.security import aiokafka_arguments, describe_login
from streams.config.settings import Settings

TRIES, AGAIN_S = 10, 0.02
REACH_MS = 5_000

Broker = Mapping[str, Any]  # what the cluster says about a broker


def check_broker(settings: Settings, bundle: Bundle | None) -> Iterator[Finding]:
    """Check the number of brokers, then the topics. Raises BrokerError, SettingsError."""
    ours = (settings.behavior_topic, *output_topics(settings), settings.metrics_topic, settings.catalogue_topic)
    with broker_admin(settings) as admin:
        brokers = _described_brokers(admin)
        unreached = asyncio.run(_unreached(settings, brokers))
        check_majority(brokers, unreached)
        topics = set(admin.list_topics())
        topic_settings = read_topic_settings(admin, sorted(_topics_of_thalweg(settings, topics)))
        described = admin.describe_topics(list(topic_settings))
    replicas = {one["name"]: _fewest_replicas(one) for one in described}
    yield Finding("ok", "broker login", describe_login(settings, "broker"))
    if len(brokers) < settings.replication:
        yield too_few_brokers(settings, len(brokers))
    else:
        yield brokers_finding(settings, brokers, unreached, described)
    yield from _check_topics(settings, bundle, topics)
    found = list(faults(settings, {name: topic_settings[name] for name in ours if name in topics}))
    found += filter(None, (in_sync_fault(settings, name, replicas[name], one) for name, one in topic_settings.items()))
    for fault in found:
        yield Finding("note" if fault.severity == "note" else "failed", "topics", fault.text, fault.remedy)
    if (lacking := lacking_replicas(settings, replicas)) is not None:
        yield lacking


def _described_brokers(admin: Any) -> list[dict[str, Any]]:
    """The brokers, as one of them tells.

    The client chooses one of the brokers at random, also one that ended a moment ago, and leaves that one out of the
    next tries.
    """
    for _ in range(TRIES):
        with contextlib.suppress(KafkaConnectionError, NodeNotReadyError):
            return list(admin.describe_cluster()["brokers"])
        time.sleep(AGAIN_S)
    return list(admin.describe_cluster()["brokers"])


async def _unreached(settings: Settings, brokers: Sequence[Broker]) -> list[Broker]:
    """The brokers that do not answer at the address that they announce. Raises SettingsError."""
    arguments = aiokafka_arguments(settings)
    del arguments["bootstrap_servers"]

    async def answers(broker: Broker) -> bool:
        try:
            connection = await create_conn(broker["host"], broker["port"], request_timeout_ms=REACH_MS, **arguments)
        except (OSError, KafkaError):
            return False
        connection.close()
        return True

    found = await asyncio.gather(*map(answers, brokers))
    return [broker for broker, is_reached in zip(brokers, found, strict=True) if not is_reached]


def check_majority(brokers: Sequence[Broker], unreached: Sequence[Broker]) -> None:
    """Raises ServiceAwayError where no majority of the brokers is reached: topics then refuse records. Pure."""
    if 2 * len(unreached) < len(brokers):
        return
    places = ", ".join(f"{one['host']}:{one['port']}" for one in unreached)
    detail = f"{len(brokers) - len(unreached)} of {len(brokers)} reached (away: {places})"
    remedy = f"start the brokers, or let this machine reach the addresses that they announce, {AGAIN}"
    raise ServiceAwayError("broker", detail, remedy)


def too_few_brokers(settings: Settings, brokers: int) -> Finding:
    """The failure where the cluster has fewer brokers than a topic needs replicas. Pure."""
    detail = f"{counted(brokers, 'broker')} at {settings.broker} and replication = {settings.replication}"
    remedy = "set THALWEG_REPLICATION to at most the number of brokers, or add brokers"
    return Finding("failed", "broker", detail, remedy)


def brokers_finding(
    settings: Settings, brokers: Sequence[Broker], unreached: Sequence[Broker], topics: Sequence[Mapping[str, Any]]
) -> Finding:
    """A note where a broker is away, or has not copied all records of Thalweg's topics. Pure.

    brokers, topics: what the cluster says about each of them. A broker that is fenced is away or starts.
    """
    partitions = [one for topic in topics for one in topic["partitions"]]
    behind = [set(one["replica_nodes"]) - set(one["isr_nodes"]) for one in partitions]
    away = {one["broker_id"] for one in (*unreached, *(one for one in brokers if one.get("is_fenced")))}
    nodes = [str(node) for node in sorted(away.union(*behind))]
    detail = f"{len(brokers) - len(unreached)} of {len(brokers)} reached at {settings.broker}"
    if not nodes:
        return Finding("ok", "broker", detail)
    names = f"node {nodes[0]} is" if len(nodes) == 1 else f"nodes {', '.join(nodes)} are"
    count = sum(1 for one in behind if one)
    detail += f"; {names} away or behind, and {counted(count, 'partition')} not in sync"
    return Finding("note", "broker", detail, "start the broker, or wait until the broker has copied the records")


def _topics_of_thalweg(settings: Settings, existing: set[str]) -> set[str]:
    """Those of the existing topics that Thalweg makes, with the updates topics of later bundles."""
    later = settings.bundle_updates_topic("", is_first=False)
    return (existing & planned_topics(settings, 1).keys()) | {name for name in existing if name.startswith(later)}


def _fewest_replicas(topic: Mapping[str, Any]) -> int:
    """topic: what the broker says about a topic. 0 where the user may not see the topic."""
    return min((len(partition["replica_nodes"]) for partition in topic["partitions"]), default=0)


def lacking_replicas(settings: Settings, replicas: Mapping[str, int]) -> Finding | None:
    """The failure where topics have fewer replicas than the setting says. Pure.

    The setting counts for the making of a topic alone. replicas: as of `_fewest_replicas`, by topic.
    """
    fewer = [
        f"{name} has {counted(count, 'replica')}"
        for name, count in sorted(replicas.items())
        if 0 < count < settings.replication
    ]
    if not fewer:
        return None
    detail = f"replication is {settings.replication}, and {', '.join(fewer)}"
    remedy = (
        "give the topics more replicas with kafka-reassign-partitions.sh: docs/kubernetes.md#from-small-to-production"
    )
    return Finding("failed", "replicas", detail, remedy)


def _check_topics(settings: Settings, bundle: Bundle | None, existing: set[str]) -> Iterator[Finding]:
    """existing: the names of all topics at the broker."""
    behavior = settings.behavior_topic
    if behavior not in existing:
        yield Finding("note", "topics", f"{behavior} does not exist yet: the first worker creates it")
        return
    group_id = None if bundle is None else settings.consumer_group_id(bundle.bundle_id)
    topic = describe_topic(settings, behavior, group_id)
    lag = "" if group_id is None else f", {topic.lag} not read yet by {group_id}"
    partitions, records = topic.partitions, topic.records
    detail = f"{counted(partitions, 'partition')}, {counted(records, 'record')}{lag}"
    yield Finding("ok", "topics", f"{behavior}: {detail}")
    yield from check_events(settings, topic)
    for name in output_topics(settings):
        if name not in existing:
            yield Finding("note", "topics", f"{name} does not exist yet: the first worker creates it")
            continue
        partitions = describe_topic(settings, name).partitions
        detail = f"{name} has {counted(partitions, 'partition')}, {behavior} has {topic.partitions}"
        if partitions > topic.partitions:
            yield Finding("failed", "topics", detail, f"add partitions to {behavior} or name another topic")
        elif partitions < topic.partitions:
            yield Finding("note", "topics", f"{detail}: the next worker adds the missing partitions")
    if settings.mapping is None:  # with a mapping, the key need not be the user
        yield _check_partitioner(settings)


def _check_partitioner(settings: Settings) -> Finding:
    """Check whether the records of the behaviour topic stand where one rule puts them."""
    judgement = judge_topic(settings, settings.behavior_topic)
    try:
        check_setting(settings, settings.behavior_topic, judgement)
    except SettingsError as error:
        return Finding("failed", "partitioner", str(error))
    doubt = doubt_of(settings, settings.behavior_topic, judgement)
    if doubt is not None:
        return Finding("failed", "partitioner", doubt)
    return Finding("ok", "partitioner", describe_judgement(judgement))
