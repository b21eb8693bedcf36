"""The least rights of each program on Kafka. Pure.

`Read`, `Write` and `Alter` on a resource include `Describe` (Kafka's AclAuthorizer and StandardAuthorizer), so
`Describe` stands here only where a program needs nothing else.
"""

import shlex
from collections.abc import Iterable
from typing import Literal, NamedTuple

from streams.config.settings import Settings
from streams.health.rights.roles import Role

Operation = Literal["Read", "Write", "Describe", "DescribeConfigs", "Delete"]
Resource = Literal["topic", "group", "transactional-id"]
# Since Kafka 2.8, an idempotent producer that may write to a topic needs no right on the cluster (KIP-679).
CHECK_OF_SETTINGS = "the check of topic settings"
LOOKALIKES, FROZEN, PAGE, ERASURES, EXPLANATIONS = (
    "--lookalikes",
    "--bundle",
    "the page",
    "erasures",
    "explanations of users",
)
CATALOGUE, RESEND, RECEIPT, EXPIRY = "filters by the catalogue", "--resend", "--receipt", "user_ttl_days"
SOURCE = "<source>"  # stands for the topic that `thalweg rekey` reads


class KafkaRight(NamedTuple):
    """A right on one resource, or on all resources whose names begin with `name`.

    uses: what alone needs the right. Empty where the program does not run without the right. is_prefix: every bundle
    has its own group and transactional ids, so rights of a worker on these have a prefix as their name.
    """

    resource: Resource
    name: str
    operation: Operation
    uses: tuple[str, ...] = ()
    is_prefix: bool = False

    def __str__(self) -> str:
        kind = {"topic": "topic", "group": "group", "transactional-id": "transactional id"}[self.resource]
        return f"{self.operation} on {kind}{f's with the prefix {self.name}' if self.is_prefix else f' {self.name}'}"


def kafka_rights(settings: Settings, role: Role, source: str = SOURCE) -> list[KafkaRight]:
    """The rights of a program, each once. The rights that the program does not run without come first.

    source: the topic that `thalweg rekey` reads.
    """
    found: dict[tuple[str, str, str], KafkaRight] = {}
    rights = rekey_rights(source, settings.behavior_topic) if role == "rekey" else _RIGHTS[role](settings)
    for right in rights:
        same = found.setdefault(right[:3], right)
        found[right[:3]] = right._replace(uses=joined_uses(same.uses, right.uses))
    return sorted(found.values(), key=lambda right: bool(right.uses))


def with_later_bundles(settings: Settings, rights: Iterable[KafkaRight]) -> list[KafkaRight]:
    """The rights, and each right on the first bundle's updates topic also on the topics of all later bundles."""
    rights = list(rights)
    prefix = settings.bundle_updates_topic("", is_first=False)
    on_updates = [right for right in rights if (right.resource, right.name) == ("topic", settings.updates_topic)]
    return [*rights, *(right._replace(name=prefix, is_prefix=True) for right in on_updates)]


def joined_uses(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """What needs a right that two programs or two parts of a program have in common, see `KafkaRight.uses`."""
    return tuple(dict.fromkeys(one + other)) if one and other else ()


def acl_command(settings: Settings, rights: Iterable[KafkaRight], user: str, login: str = "") -> str:
    """The command of Kafka's own tools that gives rights of one resource kind and one operation.

    login: further options of the tool, with the login of an administrator.
    """
    rights = list(rights)
    pattern = " --resource-pattern-type prefixed" if rights[0].is_prefix else ""
    names = " ".join(f"--{right.resource} {shlex.quote(right.name)}" for right in rights)
    return (
        f"kafka-acls.sh --bootstrap-server {shlex.quote(settings.broker)}{login} --add --allow-principal User:{user} "
        f"--operation {rights[0].operation}{pattern} {names}"
    )


def group_prefix(settings: Settings) -> str:
    """The beginning of the group ids and the transactional ids of all bundles."""
    return settings.consumer_group_id("")


def rekey_id(source: str, target: str) -> str:
    """The group and the transactional id of `thalweg rekey`. No topic has a colon in its name."""
    return f"thalweg-rekey-{source}:{target}"


def dead_letter_topic(source: str) -> str:
    """The dead-letter topic of a topic that `thalweg rekey` reads."""
    return f"{source}.dlq"


def rekey_rights(source: str, target: str) -> list[KafkaRight]:
    """The rights of `thalweg rekey` for these two topics."""
    name = rekey_id(source, target)
    return [
        *_topics("Read", source, target),  # a sample of the target tells the rule of the partitions
        *_topics("Write", target, dead_letter_topic(source)),
        KafkaRight("group", name, "Read"),
        KafkaRight("transactional-id", name, "Write"),
    ]


def _topics(operation: Operation, *names: str, use: str = "") -> list[KafkaRight]:
    return [KafkaRight("topic", name, operation, (use,) if use else ()) for name in names]


def _groups(settings: Settings, operation: Operation, use: str = "") -> KafkaRight:
    return KafkaRight("group", group_prefix(settings), operation, (use,) if use else (), is_prefix=True)


def _worker(settings: Settings) -> list[KafkaRight]:
    written = (settings.updates_topic, settings.evaluation_topic, settings.dead_letter_topic)
    checked = (settings.behavior_topic, *written, settings.metrics_topic)
    return [
        *_topics("Read", settings.behavior_topic),
        *_topics("Write", *written),
        *_topics("Describe", settings.metrics_topic),  # A worker looks whether the topic exists, and makes it if not.
        _groups(settings, "Read"),
        KafkaRight("transactional-id", group_prefix(settings), "Write", is_prefix=True),
        *_topics("DescribeConfigs", *checked, use=CHECK_OF_SETTINGS),
        *(_topics("Read", settings.updates_topic, use=EXPIRY) if settings.user_ttl_days is not None else ()),
    ]


def _backfill(settings: Settings) -> list[KafkaRight]:
    written = (settings.updates_topic, settings.dead_letter_topic)
    described = (settings.evaluation_topic, settings.metrics_topic)
    checked = (settings.behavior_topic, *written, *described)
    return [
        *_topics("Read", settings.behavior_topic),  # A commit of offsets needs the right.
        *_topics("Write", *written),
        *_topics("Describe", *described),
        _groups(settings, "Read"),
        KafkaRight("transactional-id", group_prefix(settings), "Write", is_prefix=True),
        *_topics("DescribeConfigs", *checked, use=CHECK_OF_SETTINGS),
    ]


def _serve(settings: Settings) -> list[KafkaRight]:
    of_page = (
        settings.metrics_topic,
        settings.alarms_topic,
        settings.dead_letter_topic,
        settings.evaluation_topic,
        settings.updates_topic,
        settings.behavior_topic,
    )
    return [
        *_topics("Read", settings.catalogue_topic, use=CATALOGUE),
        *_topics("Read", settings.updates_topic, use=LOOKALIKES),
        *_topics("Read", settings.behavior_topic, use=EXPLANATIONS),
        *_topics("Read", settings.behavior_topic, use=ERASURES),
        *_topics("Write", settings.behavior_topic, use=ERASURES),
        *_topics("Read", *of_page, use=PAGE),
        _groups(settings, "Describe", use=PAGE),
        _groups(settings, "Describe", use=ERASURES),
    ]


def _monitor(settings: Settings) -> list[KafkaRight]:
    published = (settings.metrics_topic, settings.alarms_topic)
    created = (settings.alarms_topic, settings.predictions_topic, settings.comparisons_topic)
    return [
        *_topics("Read", settings.evaluation_topic, settings.predictions_topic, *published),
        *_topics("Write", *published, settings.comparisons_topic),
        *_topics("Read", settings.updates_topic, use=FROZEN),
        *_topics("DescribeConfigs", *created, use=CHECK_OF_SETTINGS),
    ]


def _replay(settings: Settings) -> list[KafkaRight]:
    return [*_topics("Read", settings.behavior_topic), *_topics("Write", settings.behavior_topic)]


def _items(settings: Settings) -> list[KafkaRight]:
    name = settings.catalogue_topic
    return [*_topics("Read", name), *_topics("Write", name), *_topics("DescribeConfigs", name, use=CHECK_OF_SETTINGS)]


def _verify(settings: Settings) -> list[KafkaRight]:
    return [*_topics("Read", settings.behavior_topic, settings.dead_letter_topic), _groups(settings, "Describe")]


def _dlq(settings: Settings) -> list[KafkaRight]:
    return [
        *_topics("Read", settings.dead_letter_topic),
        *_topics("Read", settings.behavior_topic, use=RESEND),
        *_topics("Write", settings.behavior_topic, settings.dead_letter_topic, use=RESEND),
    ]


def _subject(settings: Settings) -> list[KafkaRight]:
    written = (settings.evaluation_topic, settings.updates_topic, settings.predictions_topic)
    return _topics("Read", settings.behavior_topic, settings.dead_letter_topic, *written)


def _erase(settings: Settings) -> list[KafkaRight]:
    written = (settings.evaluation_topic, settings.updates_topic, settings.predictions_topic)
    read = (settings.dead_letter_topic, *written)
    return [
        *_replay(settings),
        _groups(settings, "Describe"),
        *_topics("Read", *read, use=RECEIPT),
        *_topics("DescribeConfigs", settings.behavior_topic, *read, use=RECEIPT),
    ]


def _bundles(settings: Settings) -> list[KafkaRight]:
    return [*_topics("Describe", settings.behavior_topic), _groups(settings, "Describe")]


def _promote(settings: Settings) -> list[KafkaRight]:
    return [*_bundles(settings), *_topics("Read", settings.comparisons_topic)]


def _retire(settings: Settings) -> list[KafkaRight]:
    return [
        *_bundles(settings),
        *(right for operation in ("Read", "Write", "Delete") for right in _topics(operation, settings.updates_topic)),
        _groups(settings, "Delete"),
    ]


def _archive(settings: Settings) -> list[KafkaRight]:
    return _topics("Read", settings.behavior_topic)


_RIGHTS = {
    "worker": _worker,
    "backfill": _backfill,
    "serve": _serve,
    "monitor": _monitor,
    "replay": _replay,
    "items": _items,
    "verify": _verify,
    "dlq": _dlq,
    "erase": _erase,
    "bundles": _bundles,
    "promote": _promote,
    "rollback": _bundles,
    "retire": _retire,
    "subject": _subject,
    "archive": _archive,
}
