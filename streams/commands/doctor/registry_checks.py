"""The check of the schema registry, where the settings name one."""

from collections.abc import Iterator

from streams.broker.decoding.opening import open_client
from streams.commands.doctor.finding import Finding
from streams.config.settings import Settings


def check_registry(settings: Settings) -> Iterator[Finding]:
    """Ask the registry what it holds. Yields nothing without a registry. Raises SettingsError, RegistryError."""
    client = open_client(settings)
    if client is not None:
        yield Finding("ok", "registry", f"{client.address} holds schemas of {', '.join(sorted(client.kinds()))}")
