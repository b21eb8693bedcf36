"""A real schema registry, also behind a gateway: what is asked, what is waited for, each refusal with its remedy."""

import asyncio
import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from encoder.data.contract.rejection import Rejection
from encoder.data.mapping import SourceRecord
from streams.broker.decoding import schemas as waiting
from streams.broker.decoding.client import RegistryClient
from streams.broker.decoding.opening import open_schemas
from streams.broker.decoding.protoc import compile_proto
from streams.broker.decoding.record_decoder import open_payload
from streams.broker.decoding.schemas import Schemas
from streams.commands.dead_letters.letter_users import LetterUsers
from streams.commands.doctor.registry_checks import check_registry
from streams.commands.map.sample import of_topic
from streams.config.errors import RegistryError, SettingsError
from streams.config.settings import Settings
from streams.engine.codec import Rejected
from streams.engine.payload.registry_reader import RegistryReader
from tests.tools.schema_registry.apicurio import Apicurio
from tests.tools.schema_registry.gateway import Gateway, gateway
from tests.tools.schema_registry.written import avro, json_value, prefix

PASSWORD = "Zx81-not-to-be-seen"
TEXT = {"type": "record", "name": "Text", "fields": [{"name": "text", "type": "string"}]}
NEVER_REGISTERED = 2_000_000_000


class OfKafka(NamedTuple):
    """What is read of a record."""

    value: bytes | None
    timestamp: int
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    return str(file)


@pytest.fixture(scope="module")
def secure(registry: Apicurio, ca: trustme.CA) -> Iterator[Gateway]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    with gateway(registry.address, f"thalweg:{PASSWORD}", context) as running:
        yield running


@pytest.fixture
def plain(registry: Apicurio) -> Iterator[Gateway]:
    with gateway(registry.address) as running:
        yield running


def opened(**settings: Any) -> Schemas:
    schemas = open_schemas(Settings(**settings))
    assert schemas is not None
    return schemas


def test_a_registry_behind_tls_and_a_login(registry: Apicurio, secure: Gateway, ca_file: str) -> None:
    written_by = registry.register("secure-value", TEXT)
    schemas = opened(
        schema_registry=secure.address + "/",
        schema_registry_ca=ca_file,
        schema_registry_user="thalweg",
        schema_registry_password=PASSWORD,
    )
    values = [avro(written_by, TEXT, {"text": str(number)}) for number in range(3)]
    assert RegistryReader(schemas).read_batch(values) == [{"text": "0"}, {"text": "1"}, {"text": "2"}]
    assert RegistryReader(schemas).read_batch(values)[0] == {"text": "0"}
    assert secure.paths.count(f"/schemas/ids/{written_by}") == 1, "a schema is asked for once"


def test_every_wrong_use_has_its_remedy(
    registry: Apicurio, secure: Gateway, plain: Gateway, ca_file: str, tmp_path: Path
) -> None:
    trusted = {"schema_registry": secure.address, "schema_registry_ca": ca_file}
    another = tmp_path / "another.pem"
    trustme.CA().cert_pem.write_to_path(str(another))
    as_user = {"schema_registry_user": "thalweg", "schema_registry_password": "wrong"}
    refusals: list[tuple[dict[str, Any], str]] = [
        (trusted, r"refused a client without a user \(HTTP 401\); look at schema_registry_user"),
        ({**trusted, **as_user}, r"refused user 'thalweg' \(HTTP 401\); .*schema_registry_password"),
        ({"schema_registry": secure.address}, r"is not to be trusted: .*; set schema_registry_ca"),
        ({**trusted, "schema_registry_ca": str(another)}, r"is not to be trusted: .*; set schema_registry_ca"),
        ({**trusted, "schema_registry_ca": str(tmp_path / "none.pem")}, "schema_registry_ca.*cannot be used"),
        ({**trusted, "schema_registry": plain.address.replace("http:", "https:")}, "does not speak TLS"),
        ({"schema_registry": registry.address.removesuffix("/ccompat/v7")}, "does not answer as a schema registry"),
        ({"schema_registry": registry.address.removesuffix("/apis/ccompat/v7")}, "with its path, as in http"),
    ]
    for settings, remedy in refusals:
        with pytest.raises(SettingsError, match=remedy) as refused:
            open_schemas(Settings(**settings))
        assert PASSWORD not in str(refused.value)
    with pytest.raises(RegistryError, match=r"does not answer /schemas/types: .*refused; is it running"):
        open_schemas(Settings(schema_registry="http://127.0.0.1:1"))
    with pytest.raises(RegistryError, match="does not answer"):
        open_schemas(Settings(schema_registry=secure.address.replace("https:", "http:")))


def test_schemas_that_name_each_other(registry: Apicurio) -> None:
    item = {"type": "record", "name": "Item", "namespace": "shop", "fields": [{"name": "id", "type": "string"}]}
    event = {"type": "record", "name": "Event", "fields": [{"name": "item", "type": "shop.Item"}]}
    registry.register("refs-item", item)
    written_by = registry.register("refs-value", event, references=[("shop.Item", "refs-item", 1)])
    whole = {**event, "fields": [{"name": "item", "type": item}]}
    item_proto = 'syntax = "proto3"; package shop; message Item { string id = 1; }'
    event_proto = 'syntax = "proto3"; import "item.proto"; message Event { shop.Item item = 1; }'
    registry.register("refs-item.proto", item_proto, "PROTOBUF")
    by_proto = registry.register("refs-proto", event_proto, "PROTOBUF", [("item.proto", "refs-item.proto", 1)])
    # Confluent's Python serializer registers descriptors in Base64, and this registry keeps them so.
    whole_proto = FileDescriptorSet.FromString(
        compile_proto("e.proto", {"e.proto": event_proto, "item.proto": item_proto})
    )
    descriptor = base64.b64encode(whole_proto.file[-1].SerializeToString()).decode()
    by_descriptor = registry.register("refs-desc", descriptor, "PROTOBUF", [("item.proto", "refs-item.proto", 1)])
    assert RegistryClient(Settings(schema_registry=registry.address)).schema(by_descriptor).schema == descriptor
    message = b"\0" + b"\x0a\3\x0a\1i"
    read = RegistryReader(opened(schema_registry=registry.address)).read_batch(
        [avro(written_by, whole, {"item": {"id": "i"}}), prefix(by_proto) + message, prefix(by_descriptor) + message]
    )
    assert read == [{"item": {"id": "i"}}] * 3


def test_an_unknown_id_is_asked_for_again_and_then_rejected(
    registry: Apicurio, plain: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LAG_S", 2.0)
    schemas = opened(schema_registry=plain.address)
    value = json_value(NEVER_REGISTERED, {"a": 1})
    path = f"/schemas/ids/{NEVER_REGISTERED}"
    fresh = OfKafka(value, int(time.time() * 1000))
    started_s = time.monotonic()
    asyncio.run(schemas.prepare([fresh]))
    assert 2.0 < time.monotonic() - started_s < 8.0, "a registry may lag behind the producer"
    assert plain.paths.count(path) > waiting.MIN_TRIES
    tries = plain.paths.count(path)
    (rejected,) = RegistryReader(schemas).read_batch([value])
    assert isinstance(rejected, Rejected)
    assert rejected.field == "schema"
    assert f"schema {NEVER_REGISTERED} is not registered at {plain.address}" in rejected.reason
    asyncio.run(schemas.prepare([fresh]))
    assert plain.paths.count(path) == tries, "the answer is remembered for a while"
    monkeypatch.setattr(waiting, "FORGOTTEN_AFTER_S", 0.0)
    started_s = time.monotonic()
    asyncio.run(schemas.prepare([fresh._replace(timestamp=0)]))
    assert plain.paths.count(path) == tries + waiting.MIN_TRIES, "an old record's schema is waited for less"
    assert time.monotonic() - started_s < 2.0


def test_a_schema_that_the_registry_learns_late(registry: Apicurio) -> None:
    next_id = registry.register("late-before", {**TEXT, "name": "Before"}) + 1
    schemas = opened(schema_registry=registry.address)
    value = avro(next_id, TEXT, {"text": "late"})
    learn = threading.Timer(1.0, lambda: registry.register("late-value", {**TEXT, "doc": "late"}))
    learn.start()
    asyncio.run(schemas.prepare([OfKafka(value, int(time.time() * 1000))]))
    learn.join()
    assert RegistryReader(schemas).read_batch([value]) == [{"text": "late"}]


def test_a_registry_that_fails_is_waited_for(
    registry: Apicurio, plain: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_by = registry.register("failing-value", {**TEXT, "doc": "failing"})
    value = avro(written_by, TEXT, {"text": "a"})
    schemas = opened(schema_registry=plain.address)
    monkeypatch.setattr(waiting, "OUTAGE_LIMIT_S", 0.5)
    for status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.NOT_FOUND):
        plain.fails_with = status
        with pytest.raises(RegistryError, match=f"HTTP {status.value}"):
            RegistryReader(schemas).read_batch([value])
    recover = threading.Timer(1.0, lambda: setattr(plain, "fails_with", None))
    recover.start()
    asyncio.run(schemas.prepare([OfKafka(value, 0)]))  # a worker waits beyond the limit
    recover.join()
    assert RegistryReader(schemas).read_batch([value]) == [{"text": "a"}]


def test_a_stop_ends_the_waiting(plain: Gateway) -> None:
    schemas = opened(schema_registry=plain.address)
    plain.fails_with = HTTPStatus.SERVICE_UNAVAILABLE

    async def wait() -> None:
        async with asyncio.timeout(1.0):
            await schemas.prepare([OfKafka(json_value(NEVER_REGISTERED, {}), 0)])

    with pytest.raises(TimeoutError):
        asyncio.run(wait())


def test_a_schema_that_cannot_be_used_is_named(registry: Apicurio) -> None:
    broken = registry.register("broken-proto", 'syntax = "proto3"; message A { Missing b = 1; }', "PROTOBUF")
    (rejected,) = RegistryReader(opened(schema_registry=registry.address)).read_batch([json_value(broken, {})])
    assert isinstance(rejected, Rejected)
    assert rejected.field == "schema"
    assert f"schema {broken} of" in rejected.reason
    assert '"Missing" is not defined' in rejected.reason


def test_the_client_reads_kinds_and_references(registry: Apicurio) -> None:
    client = RegistryClient(Settings(schema_registry=registry.address))
    assert {"AVRO", "PROTOBUF", "JSON"} <= set(client.kinds())
    schema = {"type": "object", "properties": {"event_id": {"type": "string"}}}
    registered = client.schema(registry.register("json-value", schema, "JSON"))
    assert (registered.kind, json.loads(registered.schema), registered.references) == ("JSON", schema, [])


def test_the_doctor_tells_about_the_registry(registry: Apicurio) -> None:
    (found,) = check_registry(Settings(schema_registry=registry.address))
    assert found.state == "ok"
    assert found.detail == f"{registry.address} holds schemas of AVRO, JSON, PROTOBUF"
    assert list(check_registry(Settings())) == []


def test_dead_letters_and_samples_are_read_by_the_registry(registry: Apicurio) -> None:
    event = {"type": "record", "name": "Named", "fields": [{"name": "user_id", "type": "string"}]}
    written_by = registry.register("named-value", event)
    settings = Settings(schema_registry=registry.address)
    record = OfKafka(avro(written_by, event, {"user_id": "ann"}), 5, b"another")
    assert {b"ann", b"another"} <= set(LetterUsers(settings).of(record)), "an erasure covers both"
    assert LetterUsers(settings).of(record._replace(value=b"\0\0\0\0\0")) >= {b"another"}
    sample = of_topic([record, record._replace(value=None), record._replace(value=b"no")], open_payload(settings))
    assert sample[0] == SourceRecord({"user_id": "ann"}, b"another", (), 5)
    assert sample[1] == SourceRecord(None, b"another", (), 5)
    assert isinstance(sample[2], Rejection)


def test_bytes_that_are_no_ids_are_asked_for_once(registry: Apicurio, plain: Gateway) -> None:
    schemas = opened(schema_registry=plain.address)
    count = waiting.MOST_LAGGING + 1
    records = [OfKafka(json_value(NEVER_REGISTERED - number, {}), int(time.time() * 1000)) for number in range(count)]
    asyncio.run(schemas.prepare(records))
    assert sum(path.startswith("/schemas/ids/") for path in plain.paths) == count
    read = RegistryReader(schemas).read_batch([record.value for record in records if record.value is not None])
    assert all(isinstance(one, Rejected) for one in read)


def test_dead_letters_with_many_unknown_schemas_are_asked_for_together(plain: Gateway) -> None:
    """Each question about an unknown schema waits almost a second, and bytes that are no ids are all different."""
    users = LetterUsers(Settings(schema_registry=plain.address))
    letters = [OfKafka(json_value(NEVER_REGISTERED + number, {"a": 1}), 5, b"ann") for number in range(30)]
    started_s = time.monotonic()
    users.prepare([*letters, OfKafka(None, 5), OfKafka(b"{}", 5)])
    assert all(users.of(letter) >= {b"ann"} for letter in letters)
    assert time.monotonic() - started_s < 10.0
    assert plain.paths.count(f"/schemas/ids/{NEVER_REGISTERED}") == waiting.MIN_TRIES


def test_dead_letters_without_erasures_need_no_registry() -> None:
    users = LetterUsers(Settings(schema_registry="http://127.0.0.1:1"))
    assert users.of(OfKafka(b'{"user_id": "ann"}', 5, b"bob")) == {b"ann", b"bob"}
    with pytest.raises(RegistryError, match="does not answer"):
        users.prepare([OfKafka(json_value(1, {}), 5)])
