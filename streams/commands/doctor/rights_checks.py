"""Checks of the rights of a worker: each right that the user lacks, and how an administrator gives the right."""

from collections.abc import Iterator

from export.runtime.bundle import Bundle
from streams.commands.doctor.finding import Finding
from streams.config.settings import Settings
from streams.health.rights.check import lacking_in_store, lacking_on_broker
from streams.health.rights.kafka_rights import acl_command, kafka_rights
from streams.store.session import Session


def check_kafka_rights(settings: Settings, bundle: Bundle) -> Iterator[Finding]:
    """Ask Kafka. Raises BrokerError, SettingsError."""
    rights = kafka_rights(settings, "worker")
    missing = lacking_on_broker(settings, rights, bundle.bundle_id)
    for right in missing:
        if right.operation != "DescribeConfigs":  # the checks of the topics name this right
            remedy = acl_command(settings, [right], settings.broker_user or "NAME")
            yield Finding("failed", "rights", f"Kafka does not give {right}", remedy)
    if not any(right in missing for right in rights if not right.uses):
        yield Finding("ok", "rights", f"Kafka gives a worker's {sum(not right.uses for right in rights)} rights")


def check_cassandra_rights(settings: Settings, bundle: Bundle) -> Iterator[Finding]:
    """Ask Cassandra about the tables that exist. Raises StoreError, SettingsError."""
    session = Session(settings)
    try:
        missing = lacking_in_store(settings, session, "worker", [bundle.manifest.representation_width])
    finally:
        session.close()
    for right in missing:
        yield Finding(
            "failed", "rights", f"Cassandra does not give {right}", right.grant(settings.cassandra_user or "")
        )
    if not missing:
        yield Finding("ok", "rights", "Cassandra refuses none of a worker's rights on the tables that exist")
