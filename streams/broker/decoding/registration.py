"""Registers the schema of representation updates, so that a worker can write updates with the schema's id.

The subject is `<topic>-value`, the strategy TopicNameStrategy of Confluent's serializers. A schema that the subject
holds already is only looked up. So a user without the right to register can write after an administrator has registered
the schema.
"""

from importlib.resources import files

from streams.broker.decoding.client import NotRegistered, Registered, RegistryClient
from streams.broker.decoding.opening import open_client
from streams.config.errors import RegistryError, SettingsError
from streams.config.setting_checks import check_updates_format
from streams.config.settings import Settings, setting_label
from streams.engine.payload.update_encoders import FORMATS, Encode, update_encoder

_SCHEMAS = files("streams.contracts") / "schemas"


def open_update_encoder(settings: Settings) -> Encode | None:
    """The encoder of updates in the format of the settings, after their schema is registered; None for plain JSON.

    Raises SettingsError where the registry does not take the schema, or refuses this client. A retry does not help
    then. Raises RegistryError where the registry does not answer.
    """
    check_updates_format(settings)
    client = None if settings.updates_format == "json" else open_client(settings)
    if client is None:
        return None
    schema_id, _ = register_updates(settings, client)
    return update_encoder(settings.updates_format, schema_id)


def register_updates(settings: Settings, client: RegistryClient) -> tuple[int, bool]:
    """The id of the updates' schema, and whether this call has registered the schema.

    Raises SettingsError, RegistryError.
    """
    schema, subject = updates_schema(settings), updates_subject(settings)
    try:
        return client.id_of(subject, schema), False
    except NotRegistered:
        pass
    try:
        return client.register(subject, schema), True
    except NotRegistered as error:  # no answer that the API foresees
        raise RegistryError(f"the schema registry at {client.address} answered a registration with {error}") from None
    except SettingsError as error:
        try:
            return client.id_of(subject, schema), False  # Another worker may have registered the schema meanwhile.
        except NotRegistered:
            raise SettingsError(
                f"the schema of {setting_label('updates_format')} = {settings.updates_format!r} cannot be registered "
                f"under the subject {subject}: {error}; a restart alone does not help: change what the registry says "
                f"about the subject, or {setting_label('updates_topic')}, or the format"
            ) from None


def updates_subject(settings: Settings) -> str:
    """The subject under which the schema of updates stands."""
    return f"{settings.updates_topic}-value"


def updates_schema(settings: Settings) -> Registered:
    """The schema of updates in the format of the settings, which is not plain JSON."""
    one = FORMATS[settings.updates_format]
    # The file has the name of the topic by default, whatever name the settings give the topic.
    text = (_SCHEMAS / f"{Settings().updates_topic}.{one.suffix}").read_text(encoding="utf-8")
    return Registered(text, one.kind)
