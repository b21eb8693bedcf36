"""The check of the schema registry, where the settings name one."""

from collections.abc import Iterator

from streams.broker.decoding.opening import open_client
from streams.broker.decoding.registration import held_schema, updates_subject
from streams.commands.doctor.finding import Finding
from streams.config.settings import Settings


def check_registry(settings: Settings) -> Iterator[Finding]:
    """Ask the registry what it holds. Yields nothing without a registry. Raises SettingsError, RegistryError."""
    client = open_client(settings)
    if client is None:
        return
    yield Finding("ok", "registry", f"{client.address} holds schemas of {', '.join(sorted(client.kinds()))}")
    if settings.updates_format != "json":
        subject, schema_id = updates_subject(settings), held_schema(settings, client)
        where = f"with schema {schema_id} of subject {subject}"
        if schema_id is None:
            where = f"subject {subject} does not hold the schema yet, and a worker or `thalweg setup` registers it"
        yield Finding("ok", "updates", f"written as {settings.updates_format}: {where}")
