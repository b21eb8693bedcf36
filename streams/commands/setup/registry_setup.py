"""Registers the schema of representation updates, where a worker is to write updates with a schema. Blocks."""

from collections.abc import Iterator

from streams.broker.decoding.opening import open_client
from streams.broker.decoding.registration import register_updates, updates_subject
from streams.commands.setup.plan import Plan
from streams.commands.setup.step import Step
from streams.config.settings import Settings


def make_update_schema(settings: Settings, plan: Plan) -> Iterator[Step]:
    """Register the schema. Raises SettingsError where the registry does not take the schema, and RegistryError."""
    client = None if plan.update_schema is None else open_client(settings)
    if client is not None:
        schema_id, is_new = register_updates(settings, client)
        yield Step("made" if is_new else "exists", f"schema of subject {updates_subject(settings)}", f"id {schema_id}")
