"""Checks of Kafka: the brokers, the topics with their partitions and settings, and the rule of the producers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from encoder.wording import counted
from export.runtime.bundle import Bundle
from streams.broker.partitioners.choice import check_setting, describe_judgement, doubt_of, judge_topic
from streams.broker.topic_settings import faults, in_sync_fault, output_topics, planned_topics, read_topic_settings
from streams.broker.topics import broker_admin, describe_topic
from streams.commands.doctor.event_checks import check_events
from streams.commands.doctor.finding import Finding
from streams.config.errors import SettingsError
from streams.config.security import describe_login
from streams.config.settings import Settings


def check_broker(settings: Settings, bundle: Bundle | None) -> Iterator[Finding]:
    """Check the number of brokers, then the topics. Raises BrokerError, SettingsError."""
    ours = (settings.behavior_topic, *output_topics(settings), settings.metrics_topic, settings.catalogue_topic)
    with broker_admin(settings) as admin:
        brokers = admin.describe_cluster()["brokers"]
        topics = set(admin.list_topics())
        topic_settings = read_topic_settings(admin, sorted(_topics_of_thalweg(settings, topics)))
        described = admin.describe_topics(list(topic_settings))
    replicas = {one["name"]: _fewest_replicas(one) for one in described}
    yield Finding("ok", "broker login", describe_login(settings, "broker"))
    if len(brokers) < settings.replication:
        detail = f"{len(brokers)} at {settings.broker} and replication = {settings.replication}"
        yield Finding("failed", "broker", detail, "set THALWEG_REPLICATION to at most the number of brokers")
    else:
        yield _absence(settings, brokers, described) or Finding("ok", "broker", f"{len(brokers)} at {settings.broker}")
    yield from _check_topics(settings, bundle, topics)
    found = list(faults(settings, {name: topic_settings[name] for name in ours if name in topics}))
    found += filter(None, (in_sync_fault(settings, name, replicas[name], one) for name, one in topic_settings.items()))
    for fault in found:
        yield Finding("note" if fault.severity == "note" else "failed", "topics", fault.text, fault.remedy)
    if (lacking := lacking_replicas(settings, replicas)) is not None:
        yield lacking


def _absence(
    settings: Settings, brokers: Sequence[Mapping[str, Any]], topics: Sequence[Mapping[str, Any]]
) -> Finding | None:
    """The note where a broker is away (fenced), or has not copied all records of Thalweg's topics. Pure.

    brokers, topics: what the cluster says about each of them.
    """
    away = {one["broker_id"] for one in brokers if one.get("is_fenced")}
    partitions = [one for topic in topics for one in topic["partitions"]]
    behind = [set(one["replica_nodes"]) - set(one["isr_nodes"]) for one in partitions]
    nodes = sorted(away.union(*behind))
    if not nodes:
        return None
    count = sum(1 for one in behind if one)
    names = ", ".join(str(node) for node in nodes)
    detail = f"{len(brokers)} at {settings.broker}; away or behind: {names}; {counted(count, 'partition')} not in sync"
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
