"""Names that several commands derive from the settings."""

from export.runtime.bundle import Bundle
from streams.config.errors import SettingsError
from streams.config.settings import Settings


def group(settings: Settings, bundle: Bundle) -> str:
    """The consumer group: each bundle reads the topic for itself."""
    return f"{settings.group}-{bundle.bundle_id}"


def bundle_path(argument: str | None, settings: Settings) -> str:
    """The bundle's folder from the command line or the settings. Raises SettingsError where neither names one."""
    path = argument or settings.bundle
    if path is None:
        raise SettingsError("no bundle: name its folder with --bundle or THALWEG_BUNDLE")
    return path
