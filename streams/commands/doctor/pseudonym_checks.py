"""Checks of the key of pseudonyms: the file, and whether the keyspace belongs to the key."""

from collections.abc import Iterator

from streams.broker.decoding.pseudonym_key import open_pseudonyms
from streams.commands.doctor.failures import finding_of
from streams.commands.doctor.finding import Finding
from streams.config.errors import SettingsError, StoreError
from streams.config.settings import Settings
from streams.store.bundles.held_rows import HeldRows
from streams.store.rights import grant_text
from streams.store.session import Session


def check_pseudonyms(session: Session, settings: Settings) -> Iterator[Finding]:
    """Yields nothing where neither the settings nor the keyspace have a key."""
    try:
        pseudonyms = open_pseudonyms(settings)
        HeldRows(session, settings.keyspace).check_key(None if pseudonyms is None else pseudonyms.fingerprint)
    except SettingsError as error:
        yield Finding("failed", "pseudonyms", str(error))
        return
    except StoreError as error:
        if not grant_text(str(error)):
            raise
        # The user may not read the table of the key, and the other checks go on.
        found = finding_of("pseudonyms", error)
        yield found._replace(state="note", detail=f"the key of the keyspace is not compared: {found.detail}")
        return
    if pseudonyms is not None:
        detail = f"user ids are hashed with the key of the fingerprint {pseudonyms.fingerprint}"
        yield Finding("ok", "pseudonyms", f"{detail}, and originals of dead letters are {settings.dead_letter_content}")
