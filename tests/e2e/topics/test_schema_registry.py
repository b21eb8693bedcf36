"""A worker on a topic of Avro, Protobuf and JSON Schema: real Kafka, real Cassandra, real registry."""

import asyncio
import time
from collections.abc import Iterator
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from export.runtime.bundle import Bundle
from streams.broker.clients import open_producer
from streams.broker.decoding.protoc import compile_proto
from streams.commands.dead_letters.resend import resend
from streams.commands.verify.recompute import TOLERANCE
from streams.demo.worker_process import WorkerProcess
from streams.local import LocalServices
from tests.support.bundles import tiny_bundle
from tests.support.deployment import ENDED_WITHIN_S, Deployment, event, record
from tests.tools.schema_registry.apicurio import Apicurio
from tests.tools.schema_registry.gateway import gateway
from tests.tools.schema_registry.written import avro, json_value, message_class, prefix, protobuf

TIMES_MS = [10**12 + 60_000 * number for number in range(12)]
REQUIRED = [{"name": name, "type": "string"} for name in ("event_id", "user_id", "item_id", "action")]
TIME = {"name": "event_time_ms", "type": {"type": "long", "logicalType": "timestamp-millis"}}
CATEGORY = {"name": "category", "type": "string", "default": "shoes"}
PRICE = {"name": "price", "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}]}
AVRO_1 = {"type": "record", "name": "Event", "fields": [*REQUIRED, TIME, CATEGORY]}
AVRO_2 = {"type": "record", "name": "Event", "fields": [*REQUIRED, TIME, {**PRICE, "default": None}]}
PROTO_1 = """syntax = "proto3";
message Event { string event_id = 1; string user_id = 2; string item_id = 3; string action = 4;
  int64 event_time_ms = 5; string category = 6; }
"""
PROTO_2 = PROTO_1.replace("string category = 6;", "optional double price = 7;")
JSON_SCHEMA = {"type": "object", "properties": {"event_id": {"type": "string"}}}
OUTAGE_S = 5.0  # The start of the registry then takes another 5 s.
PASSWORD = "Zx81-not-to-be-seen"
USERS = ("plain", "avro", "proto", "json")  # each with the format of the user's events


class Ids(NamedTuple):
    """The ids of the registered schemas."""

    avro_1: int
    avro_2: int
    proto_1: int
    proto_2: int
    json: int


@pytest.fixture(scope="module")
def ids(registry: Apicurio) -> Ids:
    return Ids(
        registry.register("events-value", AVRO_1),
        registry.register("events-value", AVRO_2),
        registry.register("events-proto-value", PROTO_1, "PROTOBUF"),
        registry.register("events-proto-value", PROTO_2, "PROTOBUF"),
        registry.register("events-json-value", JSON_SCHEMA, "JSON"),
    )


@pytest.fixture(scope="module")
def deployment(
    services: LocalServices, bundle: Bundle, registry: Apicurio, tmp_path_factory: pytest.TempPathFactory
) -> Deployment:
    folder = tmp_path_factory.mktemp("deployment")
    return Deployment(services, bundle, folder, schema_registry=registry.address, http_port=0)


@pytest.fixture(scope="module")
def worker(deployment: Deployment) -> Iterator[WorkerProcess]:
    process = deployment.worker()
    process.start()
    yield process
    process.stop()


def fields(user_id: str, number: int, **optional: Any) -> dict[str, Any]:
    """Return the fields of a user's event of this number, the same for every user but for the ids."""
    return event(f"{user_id}-{number}", user_id, f"item-{number + 1}", "view", TIMES_MS[number]) | optional


def as_proto(schema_id: int, text: str, value: dict[str, Any]) -> bytes:
    message = message_class(compile_proto("event.proto", {"event.proto": text}), "Event")
    return protobuf(schema_id, b"\0", message(**value))


def as_avro(schema_id: int, schema: dict[str, Any], value: dict[str, Any]) -> bytes:
    price = {"price": Decimal(str(value["price"]))} if "price" in value else {}
    return avro(schema_id, schema, value | price)


def keyed(value: dict[str, Any], written: bytes) -> tuple[bytes, bytes]:
    return value["user_id"].encode(), written


def steps(deployment: Deployment, user_id: str) -> int:
    """Return the number of events in the last update of a user."""
    update = deployment.last_updates()[user_id]
    assert update is not None
    return update.steps


async def send_as_old(deployment: Deployment, key: bytes, values: list[bytes]) -> None:
    """Send records with timestamps of a minute ago. A worker does not wait long for schemas of such records."""
    topic, timestamp_ms = deployment.settings.behavior_topic, int(time.time() * 1000) - 60_000
    async with open_producer(deployment.settings, f"{topic} could not be written") as producer:
        for value in values:
            await producer.send_and_wait(topic, value, key=key, timestamp_ms=timestamp_ms)


def test_three_formats_and_their_evolution(deployment: Deployment, worker: WorkerProcess, ids: Ids) -> None:
    """Four users have the same events, each in another format, so their representations are the same."""
    records = []
    for number in range(8):
        # The schemas change in the middle, and one producer is late. Then a field is gone, and there is a new one.
        is_old = number < 4 or number == 6
        optional: dict[str, Any] = {"category": "boots"} if is_old else {"price": 12.5}
        plain, avro_user, proto_user, json_user = (fields(user, number, **optional) for user in USERS)
        records += [
            record(plain),
            keyed(avro_user, as_avro(ids.avro_1 if is_old else ids.avro_2, AVRO_1 if is_old else AVRO_2, avro_user)),
            keyed(
                proto_user,
                as_proto(ids.proto_1 if is_old else ids.proto_2, PROTO_1 if is_old else PROTO_2, proto_user),
            ),
            keyed(json_user, json_value(ids.json, json_user)),
        ]
    deployment.send(records)
    deployment.wait_until_committed()
    assert deployment.dead_letters() == []
    updates = {user: update for user, update in deployment.last_updates().items() if update is not None}
    assert {user: update.steps for user, update in updates.items()} == dict.fromkeys(USERS, 8)
    vectors = np.array([np.frombuffer(updates[user].representation, "<f4") for user in USERS])
    assert np.abs(vectors - vectors[0]).max() < TOLERANCE
    assert np.abs(vectors[0]).max() > TOLERANCE
    found = deployment.verify()
    assert (found.events, found.users, found.dead_letters, found.mismatches) == (32, 4, 0, [])


def test_what_cannot_be_read_becomes_a_dead_letter(deployment: Deployment, worker: WorkerProcess, ids: Ids) -> None:
    before = len(deployment.dead_letters())
    user = fields("bad", 0)
    whole = as_avro(ids.avro_1, AVRO_1, user | {"category": "a"})
    unknown = 1_999_999_999
    bad = [whole[:-1], whole + b"\0", prefix(ids.proto_1) + b"\0\xff", b"\0\0", b"Obj\1", prefix(unknown) + whole[5:]]
    asyncio.run(send_as_old(deployment, b"bad", [*bad, whole]))
    deployment.wait_until_committed()
    letters = deployment.dead_letters()[before:]
    assert [letter.value for letter in letters] == bad, "a dead letter has the original bytes"
    reasons = [dict(letter.headers)["thalweg-reason"].decode() for letter in letters]
    for reason, expected in zip(
        reasons,
        (
            f"cannot be read by schema {ids.avro_1}: EOFError",
            f"schema {ids.avro_1}: the value ends at byte",
            f"cannot be read by schema {ids.proto_1}: no message Event",
            "schema id of 4 bytes are expected",
            "begins with no schema id",
            f"schema {unknown} is not registered at {deployment.settings.schema_registry}",
        ),
        strict=True,
    ):
        assert expected in reason
    assert steps(deployment, "bad") == 1, "the records behind go on"
    assert deployment.verify().mismatches == []


def test_a_bundle_that_reads_later_applies_what_another_bundle_set_aside(
    deployment: Deployment, worker: WorkerProcess, registry: Apicurio, ids: Ids, tmp_path: Path
) -> None:
    """The registry learns the schema between the workers of the two bundles."""
    user = fields("between", 0, category="a")
    late = registry.register("between-before", {**AVRO_1, "doc": "before"}) + 1
    schema = {**AVRO_1, "doc": "late"}
    asyncio.run(send_as_old(deployment, b"between", [as_avro(late, schema, user)]))
    deployment.wait_until_committed()
    assert registry.register("between-value", schema) == late
    other = deployment.with_bundle(tiny_bundle(tmp_path / "other", seed=9))
    late_worker = other.worker("later")
    late_worker.start()
    other.wait_until_committed()
    assert steps(other, "between") == 1
    assert (other.verify().mismatches, deployment.verify().mismatches) == ([], [])
    resent = resend(deployment.settings, f"schema {late}")
    assert (resent.sent, resent.not_whole) == (1, [])
    # The worker of the first bundle takes the schema for unknown for a minute, and writes another dead letter.
    deployment.wait_until_committed()
    other.wait_until_committed()
    assert steps(other, "between") == 1, "the worker has seen the event id"
    assert (other.verify().mismatches, deployment.verify().mismatches) == ([], [])
    late_worker.stop()


def test_a_registry_that_is_down_loses_nothing(
    deployment: Deployment, worker: WorkerProcess, registry: Apicurio, ids: Ids
) -> None:
    before = len(deployment.dead_letters())
    first, second, waiting = (fields("patient", number, category="a") for number in range(3))
    deployment.send([keyed(first, as_avro(ids.avro_1, AVRO_1, first))])
    deployment.wait_until_committed()
    schema = {**AVRO_1, "doc": "registered and not read yet"}
    written_by = registry.register("events-value", schema)
    down_since_s = time.monotonic()
    registry.process.stop()
    try:
        deployment.send([keyed(second, as_avro(ids.avro_1, AVRO_1, second))])
        deployment.wait_until_committed()  # A schema that the worker knows needs no registry.
        deployment.send([keyed(waiting, as_avro(written_by, schema, waiting))])
        time.sleep(max(0.0, down_since_s + OUTAGE_S - time.monotonic()))
        assert steps(deployment, "patient") == 2
    finally:
        registry.process.start()
    deployment.wait_until_committed()
    assert [dict(letter.headers) for letter in deployment.dead_letters()[before:]] == []
    assert steps(deployment, "patient") == 3, worker.log.read_text()
    assert worker.exit_code is None
    assert deployment.verify().mismatches == []


def test_a_login_that_is_refused_ends_the_worker(
    services: LocalServices, bundle: Bundle, registry: Apicurio, ids: Ids, tmp_path: Path
) -> None:
    login = {"schema_registry_user": "thalweg", "schema_registry_password": PASSWORD}
    with gateway(registry.address, f"thalweg:{PASSWORD}") as guarded:
        deployment = Deployment(services, bundle, tmp_path, schema_registry=guarded.address, **login)
        process = deployment.worker()
        process.start()
        guarded.fails_with = HTTPStatus.UNAUTHORIZED
        user = fields("locked", 0)
        deployment.send([keyed(user, as_avro(ids.avro_1, AVRO_1, user | {"category": "a"}))])
        deadline_s = time.monotonic() + ENDED_WITHIN_S
        while process.exit_code is None and time.monotonic() < deadline_s:
            time.sleep(0.1)
        assert process.exit_code == 1
        log = process.log.read_text()
        assert "refused user 'thalweg' (HTTP 401); look at schema_registry_user" in log
        assert PASSWORD not in log
        assert deployment.dead_letters() == []
