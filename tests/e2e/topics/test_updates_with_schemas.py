"""Updates in Avro, Protobuf and JSON Schema, read as a program reads them that has nothing of Thalweg."""

import asyncio
import base64
import io
import json
import time
from collections.abc import Sequence
from typing import Any

import fastavro
import numpy as np
import pytest

from export.runtime.bundle import Bundle
from streams.broker.decoding.protoc import compile_proto
from streams.broker.decoding.update_reader import UpdateReader
from streams.local import LocalServices
from streams.monitor.inputs import Extras
from streams.monitor.monitor import Monitor
from streams.serve.live.projection import project
from streams.serve.live.seen_users import SeenUsers
from streams.serve.live.tail import follow_tail
from streams.serve.lookalikes.follower import LookalikeFollower
from streams.store.store import open_store
from tests.support.deployment import Deployment, run_thalweg, shopping
from tests.tools.schema_registry.apicurio import Apicurio
from tests.tools.schema_registry.written import message_class

# The formats in turn, with the kind of the schema. The last two have topics of their own, because a subject of a
# registry has schemas of one kind.
KINDS = {"avro": "AVRO", "json": None, "protobuf": "PROTOBUF", "json-schema": "JSON"}
USERS, EVENTS, WITHIN_S = 30, 200, 30.0
VECTORS = {"representation": "<f4", "recent_items": "<i4", "recent_scores": "<f4", "bought_items": "<i4"}


@pytest.fixture(scope="module")
def deployment(
    services: LocalServices, bundle: Bundle, registry: Apicurio, tmp_path_factory: pytest.TempPathFactory
) -> Deployment:
    """Workers that have followed one another, each with another format.

    The first worker also erases a user, who does not come back.
    """
    folder = tmp_path_factory.mktemp("formats")
    deployment = Deployment(services, bundle, folder, schema_registry=registry.address)
    for number, name in enumerate(KINDS):
        deployment.settings = deployment.settings_with(updates_format=name, updates_topic=topic_of(deployment, name))
        # Of four users, each format writes the last update of one.
        deployment.send(shopping(EVENTS, USERS if number == 0 else USERS - 8 * number, seed=number))
        if number == 0:
            deployment.send([(f"user-{USERS - 1}".encode(), None)])
        worker = deployment.worker(name)
        worker.start()
        deployment.wait_until_committed()
        worker.stop()
    return deployment


def topic_of(deployment: Deployment, name: str) -> str:
    own = deployment.settings.keyspace
    return f"{own}.updates.{name}" if name in ("protobuf", "json-schema") else f"{own}.updates"


def topics_of(deployment: Deployment) -> list[str]:
    """Return the topics in the order in which they were written."""
    return list(dict.fromkeys(topic_of(deployment, name) for name in KINDS))


class OtherProgram:
    """Reads values by the schema of their id, with the libraries of the formats and nothing else."""

    def __init__(self, registry: Apicurio) -> None:
        self._registry = registry
        self._known: dict[int, tuple[str | None, Any]] = {}

    def read(self, value: bytes) -> tuple[str | None, dict[str, Any]]:
        """Return the kind of the schema and the fields; a vector is an array."""
        if value[:1] == b"{":
            return None, _in_arrays(json.loads(value))
        one = int.from_bytes(value[1:5], "big")
        assert value[0] == 0
        kind, schema = self._known.get(one) or self._known.setdefault(one, self._schema(one))
        if kind == "AVRO":
            stream = io.BytesIO(value[5:])
            fields = fastavro.schemaless_reader(stream, schema, None)
            assert isinstance(fields, dict)
            assert not stream.read()
        elif kind == "PROTOBUF":
            assert value[5] == 0, "the first message of the schema"
            message = schema.FromString(value[6:])
            fields = {field.name: getattr(message, field.name) for field in schema.DESCRIPTOR.fields}
        else:
            fields = json.loads(value[5:])
        return kind, _in_arrays(fields)

    def _schema(self, one: int) -> tuple[str, Any]:
        kind, text = self._registry.schema(one)
        if kind == "PROTOBUF":
            return kind, message_class(compile_proto("u.proto", {"u.proto": text}), "thalweg.RepresentationUpdate")
        return kind, fastavro.parse_schema(json.loads(text)) if kind == "AVRO" else None


def _in_arrays(fields: dict[str, Any]) -> dict[str, Any]:
    for name, kind in VECTORS.items():
        found = fields.get(name) or []
        is_text = isinstance(found, str)
        fields[name] = np.frombuffer(base64.b64decode(found), kind) if is_text else np.array(list(found), kind)
    return fields


def test_another_program_reads_the_vectors_of_cassandra(deployment: Deployment, registry: Apicurio) -> None:
    own = f"{deployment.bundle.bundle_id}/"
    records = [record for topic in topics_of(deployment) for record in deployment.records(topic)]
    last = {record.key.decode(): record.value for record in records}
    store = open_store(deployment.settings, deployment.bundle)
    stored = {row.user_id: row for row in store.users.scan()}
    store.close()
    program, kinds = OtherProgram(registry), set()
    assert last.pop(f"{own}user-{USERS - 1}") is None, "an erasure is a null value in every format"
    last.pop(f"user-{USERS - 1}")
    assert last.keys() == {own + user for user in stored}
    for user_id, row in stored.items():
        kind, fields = program.read(last[own + user_id])
        kinds.add(kind)
        assert (fields["user_id"], fields["bundle_id"], fields["steps"]) == (user_id, own[:-1], row.steps)
        assert (fields["event_time_ms"], fields["source"].split("-")[-2:]) == (
            row.last_time_ms,
            [str(row.partition), str(row.offset)],
        )
        np.testing.assert_array_equal(fields["representation"], row.representation, strict=True)
        places = deployment.bundle.manifest.recent_places
        assert [len(fields[name]) for name in ("recent_items", "recent_scores")] == [places, places]
    assert kinds == set(KINDS.values()), "every format has written the last update of some users"
    found = deployment.verify()
    assert (found.mismatches, found.users) == ([], len(stored))


@pytest.mark.parametrize("name", ["avro", "protobuf", "json-schema"])
def test_readers_of_thalweg_read_every_format(deployment: Deployment, name: str) -> None:
    """The topic of Avro holds updates in JSON behind those in Avro, as after a change of the setting."""
    settings, bundle = deployment.settings_with(updates_topic=topic_of(deployment, name)), deployment.bundle
    reader = UpdateReader(settings)
    seen = SeenUsers(bundle, project(bundle), 0, reader.decode)
    index = LookalikeFollower(settings, [bundle], lambda _: settings.updates_topic)
    records = deployment.records(settings.updates_topic)
    users = {record.key.decode().partition("/")[2] for record in records} - {"", f"user-{USERS - 1}"}

    def take(new: Sequence[Any]) -> None:
        for one in new:
            seen.add_update(one)

    async def follow() -> None:
        tail = follow_tail(settings, settings.updates_topic, len(records), take, reader.prepare)
        async with index.following():
            task = asyncio.create_task(tail)
            deadline = time.monotonic() + WITHIN_S
            while index.age_ms is None or not all(seen.of(user).places for user in users):
                assert time.monotonic() < deadline, (index.records_behind, len(users))
                await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(follow())
    assert len(index.indexes[bundle.bundle_id]) == len(users)
    monitor = Monitor(settings, settings.evaluation_topic, window_s=600.0, extras=Extras(bundle=bundle))
    monitor.start()
    deadline = time.monotonic() + WITHIN_S
    while monitor.snapshot().read < EVENTS * len(KINDS) + len(records) or monitor.snapshot().lag:
        assert time.monotonic() < deadline, monitor.snapshot()
        time.sleep(0.1)
    found = monitor.stop()
    assert (found.undecodable, found.problem) == (0, None)


def test_a_worker_names_a_registry_that_is_needed(deployment: Deployment) -> None:
    settings = deployment.settings_with(schema_registry=None, updates_format="avro")
    refused = run_thalweg(settings, "worker")
    assert refused.returncode == 1
    assert "updates_format (THALWEG_UPDATES_FORMAT) = 'avro' needs a schema registry" in refused.stderr
