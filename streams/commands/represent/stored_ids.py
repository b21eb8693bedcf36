"""The id under which an archive holds the user of a label."""

from collections.abc import Callable

from encoder.data.contract.quoting import quote
from streams.broker.decoding.pseudonym_key import open_pseudonyms
from streams.config.errors import InputError, SettingsError
from streams.config.loading import load_settings
from streams.config.settings import setting_label
from streams.contracts.privacy.pseudonyms import is_pseudonym
from streams.engine.payload.pseudonym_decoder import WITH_PSEUDONYMS


def stored_id_in(address: str, decoder: str) -> Callable[[str], str]:
    """What gives the id in an archive, from a plain id or a pseudonym.

    decoder: the name of the archive's decoder. Without the key, the function that is returned raises InputError for a
    plain id, because no user of the archive has this id. Raises SettingsError where the settings name another key.
    """
    _, with_pseudonyms, fingerprint = decoder.rpartition(WITH_PSEUDONYMS)
    if not with_pseudonyms:
        return str
    pseudonyms = open_pseudonyms(load_settings())
    if pseudonyms is None:
        return lambda user_id: _checked(user_id, address, fingerprint)
    if pseudonyms.fingerprint != fingerprint:
        raise SettingsError(
            f"archive {address} holds pseudonyms of the key with the fingerprint {fingerprint}, and the fingerprint of "
            f"{setting_label('pseudonym_key')} is {pseudonyms.fingerprint}: name the key of the archive"
        )
    return pseudonyms.stored


def _checked(user_id: str, address: str, fingerprint: str) -> str:
    if not is_pseudonym(user_id):
        raise InputError(
            f"user_id {quote(user_id)} of the labels is no pseudonym, and archive {address} holds pseudonyms of the "
            f"key with the fingerprint {fingerprint}: name the key by {setting_label('pseudonym_key')}, or give "
            "pseudonyms"
        )
    return user_id
