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
    found = held_schema(settings, client)
    if found is not None:
        return found, False
    try:
        return client.register(subject, schema), True
    except NotRegistered as error:  # no answer that the API foresees
        raise RegistryError(f"the schema registry at {client.address} answered a registration with {error}") from None
    except SettingsError as error:
        found = _held(client, subject, schema)  # Another worker may have registered the schema meanwhile.
        if found is None:
            raise _refused(settings, str(error)) from None
        return found, False


def held_schema(settings: Settings, client: RegistryClient) -> int | None:
    """The id of the updates' schema; None where the schema is not registered yet.

    Raises SettingsError where the subject holds schemas of another kind, and RegistryError.
    """
    schema, subject = updates_schema(settings), updates_subject(settings)
    kind = _kind_of(client, subject)
    if kind not in (None, schema.kind):
        # Apicurio would take the schema, and give its text out as a schema of the other kind.
        raise _refused(settings, f"the subject holds schemas of the kind {kind}, and of no other kind")
    return _held(client, subject, schema)


def _kind_of(client: RegistryClient, subject: str) -> str | None:
    """The kind of a subject's newest schema; None where there is no subject."""
    try:
        return client.latest(subject).kind
    except NotRegistered:
        return None


def _held(client: RegistryClient, subject: str, schema: Registered) -> int | None:
    """The id under which the subject holds the schema; None where the subject does not hold the schema."""
    try:
        return client.id_of(subject, schema)
    except NotRegistered:
        return None


def _refused(settings: Settings, why: str) -> SettingsError:
    return SettingsError(
        f"the schema of {setting_label('updates_format')} = {settings.updates_format!r} cannot be registered under the "
        f"subject {updates_subject(settings)}: {why}; a restart alone does not help: change the subject in the "
        f"registry, or set another {setting_label('updates_topic')} or format"
    )


def updates_subject(settings: Settings) -> str:
    """The subject under which the schema of updates stands."""
    return f"{settings.updates_topic}-value"


def updates_schema(settings: Settings) -> Registered:
    """The schema of updates in the format of the settings, which is not plain JSON."""
    one = FORMATS[settings.updates_format]
    # The file has the name of the topic by default, whatever name the settings give the topic.
    text = (_SCHEMAS / f"{Settings().updates_topic}.{one.suffix}").read_text(encoding="utf-8")
    return Registered(text, one.kind)
