"""The schema of updates in a real registry: looked up, registered, refused with a remedy, and read again."""

import asyncio
import re
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import pytest

from encoder.errors import ThalwegError
from streams.broker.decoding.registration import open_update_encoder
from streams.broker.decoding.update_reader import UpdateReader
from streams.commands.doctor.registry_checks import check_registry
from streams.commands.setup.plan import make_plan
from streams.commands.setup.registry_setup import make_update_schema
from streams.commands.setup.script import script
from streams.config.errors import RegistryError, SettingsError
from streams.config.settings import Settings
from streams.contracts.representation_updates import RepresentationUpdate
from streams.engine.payload.update_encoders import FORMATS, Encode
from streams.engine.payload.wire_format import schema_id
from tests.tools.schema_registry.apicurio import Apicurio
from tests.tools.schema_registry.gateway import gateway

UPDATE = RepresentationUpdate("ann", "gru-0f3a5c7e9b1d", b"\0\0\x80?\0\0\0@", 3, 10**12, "events-0-0-1", b"\7\0\0\0")
TEXT = {"type": "record", "name": "Text", "fields": [{"name": "text", "type": "string"}]}


def settings_of(registry: Apicurio, topic: str, name: str = "avro", **settings: Any) -> Settings:
    return Settings(**{"schema_registry": registry.address, "updates_format": name, "updates_topic": topic} | settings)


def opened(settings: Settings) -> Encode:
    encode = open_update_encoder(settings)
    assert encode is not None
    return encode


def record(value: bytes | None) -> Any:
    return SimpleNamespace(value=value, timestamp=int(time.time() * 1000))


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_schema_is_registered_once_and_read_by_its_id(registry: Apicurio, name: str) -> None:
    settings = settings_of(registry, f"{name}.once", name)
    with gateway(registry.address) as asked:
        through = settings_of(registry, f"{name}.once", name, schema_registry=asked.address)
        (value,) = opened(through)([UPDATE])
        assert (opened(through)([UPDATE]), opened(settings)([UPDATE])) == ([value], [value])
        assert asked.paths.count(f"/subjects/{name}.once-value/versions") == 1, "later workers look the schema up"
    kind, _ = registry.schema(schema_id(value) or 0)
    assert kind == FORMATS[name].kind
    reader = UpdateReader(settings)
    asyncio.run(reader.prepare([record(value), record(None), record(b"{}")]))
    assert reader.decode(value) == UPDATE


def test_workers_that_start_together_get_one_schema(registry: Apicurio) -> None:
    settings = settings_of(registry, "together", "avro")
    with ThreadPoolExecutor(8) as threads:
        values = list(threads.map(lambda _: _eventually(settings), range(8)))
    assert values == values[:1] * 8


def _eventually(settings: Settings) -> list[bytes]:
    """A supervisor starts a worker again after an error that a retry may mend."""
    for _ in range(20):
        try:
            return opened(settings)([UPDATE])
        except RegistryError:
            time.sleep(0.05)
    raise AssertionError("the registry does not take the schema")


def test_an_incompatible_schema_is_refused_with_a_remedy(registry: Apicurio) -> None:
    registry.register("taken-value", TEXT)
    registry.keep_compatible("taken-value")
    with pytest.raises(
        SettingsError, match=r"under the subject taken-value: .* a restart alone does not help"
    ) as refused:
        open_update_encoder(settings_of(registry, "taken"))
    assert not refused.value.retryable


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_script_of_setup_registers_the_schema_that_a_worker_looks_up(registry: Apicurio, name: str) -> None:
    settings = settings_of(registry, f"by.script.{name}", name)
    plan = make_plan(settings, ["worker"], None, None, None)
    (state, _), *_ = _findings(settings)
    assert state == "not there"
    text = script(settings, plan)
    command = text[text.index("curl ") :]
    for _ in range(2):  # A second run changes nothing.
        subprocess.run(["sh", "-euc", command], check=True, capture_output=True, timeout=60)
    (step,) = make_update_schema(settings, plan)
    assert step.state == "exists"
    (state, found), *_ = _findings(settings)
    assert (state, found) == ("there", step.detail.removeprefix("id "))
    assert schema_id(opened(settings)([UPDATE])[0]) == int(found)


def _findings(settings: Settings) -> list[tuple[str, str]]:
    """What the doctor says about the schema of updates."""
    details = [finding.detail for finding in check_registry(settings) if finding.subject == "updates"]
    found = [re.search(r"with schema (\d+) of subject", detail) for detail in details]
    return [("there", one[1]) if one else ("not there", "") for one in found]


def test_setup_registers_the_schema_once(registry: Apicurio) -> None:
    settings = settings_of(registry, "by.setup", "protobuf")
    plan = make_plan(settings, ["worker", "serve"], None, None, None)
    states = [step.state for _ in range(2) for step in make_update_schema(settings, plan)]
    assert states == ["made", "exists"]
    assert list(make_update_schema(settings, make_plan(settings, ["serve"], None, None, None))) == []
    plain = settings_of(registry, "by.setup", "json")
    assert "curl" not in script(plain, make_plan(plain, ["worker"], None, None, None))


def test_a_subject_of_another_kind_is_refused_before_anything_is_registered(registry: Apicurio) -> None:
    """The registry would take the schema, and give its text out as one of the other kind."""
    opened(settings_of(registry, "kinds", "avro"))
    with pytest.raises(SettingsError, match=r"the subject holds schemas of the kind AVRO.*set another updates_topic"):
        open_update_encoder(settings_of(registry, "kinds", "protobuf"))
    with pytest.raises(SettingsError, match="the kind AVRO"):
        list(check_registry(settings_of(registry, "kinds", "protobuf")))
    assert opened(settings_of(registry, "kinds", "avro"))([UPDATE]), "the subject is as it was"


def test_refusals_say_whether_a_retry_helps(registry: Apicurio) -> None:
    cases: list[tuple[HTTPStatus, str, type[ThalwegError], str]] = [
        (HTTPStatus.FORBIDDEN, "/versions", SettingsError, "let an administrator register the schema of the subject"),
        (HTTPStatus.FORBIDDEN, "-value", SettingsError, "the right to read the subject guarded-value"),
        (HTTPStatus.UNAUTHORIZED, "", SettingsError, "refused user 'thalweg' .*look at schema_registry_user"),
        (HTTPStatus.UNPROCESSABLE_ENTITY, "/versions", SettingsError, "does not take the schema"),
        (HTTPStatus.SERVICE_UNAVAILABLE, "", RegistryError, "HTTP 503"),
    ]
    login = {"schema_registry_user": "thalweg", "schema_registry_password": "Zx81-not-to-be-seen"}
    with gateway(registry.address, "thalweg:Zx81-not-to-be-seen") as guarded:
        settings = settings_of(registry, "guarded", schema_registry=guarded.address, **login)
        for status, at, error, words in cases:
            guarded.fails_with, guarded.fails_at = status, at
            with pytest.raises(error, match=words) as refused:
                open_update_encoder(settings)
            assert refused.value.retryable == (error is RegistryError)
            assert "Zx81" not in str(refused.value)
        guarded.fails_with, guarded.fails_at = HTTPStatus.FORBIDDEN, "/versions"
        open_update_encoder(settings_of(registry, "guarded"))  # by an administrator
        assert opened(settings)([UPDATE]), "a schema that is registered beforehand needs no right to register"
    with pytest.raises(RegistryError, match="does not answer /subjects/guarded-value"):
        open_update_encoder(settings_of(registry, "guarded", schema_registry="http://127.0.0.1:1"))


def test_a_reader_names_a_schema_that_is_not_registered(registry: Apicurio) -> None:
    reader, value = UpdateReader(settings_of(registry, "unknown")), b"\0\x77\x35\x94\1" + b"x" * 40
    asyncio.run(reader.prepare([SimpleNamespace(value=value, timestamp=0)]))
    with pytest.raises(ValueError, match=f"schema {0x77359401} is not registered at {registry.address}"):
        reader.decode(value)


def test_a_reader_waits_for_a_registry_that_is_away(registry: Apicurio) -> None:
    (value,) = opened(settings_of(registry, "away"))([UPDATE])
    with gateway(registry.address) as failing:
        reader = UpdateReader(settings_of(registry, "away", schema_registry=failing.address))
        failing.fails_with = HTTPStatus.SERVICE_UNAVAILABLE
        recover = threading.Timer(0.6, lambda: setattr(failing, "fails_with", None))
        recover.start()
        asyncio.run(reader.prepare([record(value)]))
        recover.join()
        assert reader.decode(value) == UPDATE
