"""Opens the schema registry that the settings name."""

from importlib.util import find_spec

from streams.broker.decoding.client import RegistryClient
from streams.broker.decoding.schemas import Schemas
from streams.config.errors import SettingsError
from streams.config.settings import REGISTRY, Settings, setting_label

PACKAGES = {"fastavro": "fastavro", "google.protobuf": "protobuf", "grpc_tools": "grpcio-tools"}  # by module


def open_schemas(settings: Settings) -> Schemas | None:
    """The schemas of the registry; None where the settings name no registry.

    Raises SettingsError where a package is missing, or where the registry does not let this client in, and
    RegistryError where the registry does not answer.
    """
    client = open_client(settings)
    if client is None:
        return None
    client.kinds()
    return Schemas(client)


def open_client(settings: Settings) -> RegistryClient | None:
    """A client that has asked nothing yet; None where the settings name no registry.

    Raises SettingsError where a package is missing, or where the CA file cannot be used.
    """
    if settings.schema_registry is None:
        return None
    for module, package in PACKAGES.items():
        if not _is_installed(module):
            raise SettingsError(
                f"{setting_label(REGISTRY)} is set, and the package {package} is missing: install thalweg[registry]"
            )
    return RegistryClient(settings)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # The package around the module is missing.
        return False
