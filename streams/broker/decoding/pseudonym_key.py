"""Opens the key of pseudonyms that the settings name."""

from streams.config.key_file import read_key_file
from streams.config.settings import Settings
from streams.contracts.privacy.hidden_letters import Hiding
from streams.contracts.privacy.pseudonyms import Pseudonyms


def open_pseudonyms(settings: Settings) -> Pseudonyms | None:
    """The pseudonyms of the key; None where user ids stay as they are. Raises SettingsError for an unfit key file."""
    if settings.pseudonym_key is None:
        return None
    return Pseudonyms(read_key_file("pseudonym_key", settings.pseudonym_key))


def open_hiding(settings: Settings) -> Hiding | None:
    """How the originals of dead letters are hidden; None where dead letters hold them. Raises SettingsError."""
    pseudonyms = open_pseudonyms(settings)
    return None if pseudonyms is None else Hiding(pseudonyms, settings.dead_letter_content)
