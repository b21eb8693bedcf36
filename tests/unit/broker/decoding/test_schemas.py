"""The reasons of dead letters whose schema cannot be had."""

import logging

import msgspec
import pytest

from streams.broker.decoding import schemas as module
from streams.broker.decoding.client import NotRegistered, Registered, RegistryClient
from streams.broker.decoding.schemas import Schemas
from streams.config.settings import Settings
from streams.engine.codec import Rejected


class Answering(RegistryClient):
    """A registry that holds the schema 1, and says much about every other id."""

    def schema(self, schema_id: int) -> Registered:
        if schema_id != 1:
            raise NotRegistered("no such schema " * 100_000)
        types = [{"name": f"x{number}", "type": f"Nowhere{number}"} for number in range(3)]
        return Registered(msgspec.json.encode({"type": "record", "name": "A" * 100_000, "fields": types}).decode())


@pytest.mark.parametrize("fate", ["the records become dead letters", "the updates are left out"])
def test_the_log_says_what_becomes_of_the_values(
    fate: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.001)
    with caplog.at_level(logging.ERROR):
        Schemas(Answering(Settings(schema_registry="http://localhost:1")), fate).decoders({1, 2})
    assert len(caplog.messages) == 2
    assert all(message.endswith(f"; {fate}") for message in caplog.messages)


def test_a_reason_stays_short_whatever_a_registry_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.001)
    found = Schemas(Answering(Settings(schema_registry="http://localhost:1"))).decoders({1, 2})
    for written_by, decoder in found.items():
        assert isinstance(decoder, Rejected)
        assert decoder.field == "schema"
        assert decoder.reason.startswith(f"schema {written_by} ")
        assert len(decoder.reason) < 1_300
    second = found[2]
    assert isinstance(second, Rejected)
    assert second.reason.endswith("send the dead letter again"), "the remedy stands behind the words of the registry"
