"""A reader of updates without a schema registry, and the setting that needs a registry."""

import asyncio
import logging
from types import SimpleNamespace

import msgspec
import pytest

from streams.broker.decoding.registration import open_update_encoder, updates_subject
from streams.broker.decoding.update_reader import UpdateReader
from streams.config.errors import SettingsError
from streams.config.loading import load_settings
from streams.config.settings import Settings
from streams.contracts.representation_updates import RepresentationUpdate
from streams.engine.outputs import OutputEncoder
from streams.engine.payload.update_encoders import update_encoder
from tests.support.processing import ITEMS, MemoryStore, feed, processor, record

UPDATE = RepresentationUpdate("ann", "gru-0f3a5c7e9b1d", b"\0\0\x80?", 3, 10**12, "events-0-0-1")


def test_json_is_read_and_a_value_with_a_schema_names_the_setting_once(caplog: pytest.LogCaptureFixture) -> None:
    reader = UpdateReader(Settings())
    plain, (written,) = msgspec.json.encode(UPDATE), update_encoder("avro", 7)([UPDATE])
    with caplog.at_level(logging.WARNING, "streams.broker.decoding.update_reader"):
        asyncio.run(reader.prepare([SimpleNamespace(value=value) for value in (plain, None, b"\0", b"")]))
        assert caplog.messages == []
        for _ in range(2):
            asyncio.run(reader.prepare([SimpleNamespace(value=written)]))
            with pytest.raises(ValueError, match=r"written with schema 7, and schema_registry .* is not set"):
                reader.decode(written)
    (message,) = caplog.messages
    assert "set schema_registry (THALWEG_SCHEMA_REGISTRY)" in message
    assert reader.decode(plain) == UPDATE
    for value in (b"", b"\0", b"no update", b"{}", b"\0\xff\xff\xff\xff{}"):
        with pytest.raises(ValueError):  # noqa: PT011 - the words are those of msgspec
            reader.decode(value)


@pytest.mark.parametrize("name", ["avro", "protobuf", "json-schema"])
def test_a_format_with_a_schema_needs_a_registry(name: str) -> None:
    with pytest.raises(SettingsError, match=r"updates_format .* needs a schema registry: set schema_registry"):
        load_settings({"THALWEG_UPDATES_FORMAT": name})
    assert load_settings({"THALWEG_UPDATES_FORMAT": name, "THALWEG_SCHEMA_REGISTRY": "http://localhost:8081"})
    with pytest.raises(SettingsError, match="needs a schema registry"):
        open_update_encoder(Settings(updates_format=name))  # type: ignore[arg-type]


def test_plain_json_needs_no_registry_and_is_the_default() -> None:
    assert open_update_encoder(load_settings({})) is None
    assert open_update_encoder(Settings(schema_registry="http://127.0.0.1:1")) is None, "no registry is asked"
    with pytest.raises(SettingsError, match="known: json, avro, protobuf, json-schema"):
        load_settings({"THALWEG_UPDATES_FORMAT": "xml"})
    assert updates_subject(Settings(updates_topic="of.shop")) == "of.shop-value"


def test_a_format_changes_the_values_of_updates_and_nothing_else() -> None:
    log = [record(0, "a", "i1", "x", 50), record(1, "gone", "i1", "y", 50), record(2, "gone", None, "", 0)]
    result = feed(processor(), MemoryStore(), log, 1)
    plain = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1)
    avro = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1, encode_updates=update_encoder("avro", 7))
    expected = list(plain.updates(result))
    found = list(avro.updates(result))
    assert [one[:2] for one in found] == [one[:2] for one in expected]
    assert [value for _, _, value in found if value is None] == [None, None]
    for (_, _, written), (_, _, value) in zip(found, expected, strict=True):
        if value is not None:
            update = msgspec.json.decode(value, type=RepresentationUpdate)
            assert written == update_encoder("avro", 7)([update])[0]
    assert list(avro.evaluations(result)) == list(plain.evaluations(result))
