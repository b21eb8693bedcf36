"""Updates in each format: the bytes of the libraries, the same bits back, and the same bytes in any batch."""

import io
import json
from collections.abc import Callable
from typing import Any

import fastavro
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.broker.decoding.client import Reference, Registered
from streams.broker.decoding.decoders import make_decoder
from streams.broker.decoding.protoc import compile_proto
from streams.broker.decoding.registration import updates_schema
from streams.config.settings import CHOICES, Settings
from streams.contracts.fields import MAX_TIME_MS
from streams.contracts.representation_updates import RepresentationUpdate
from streams.engine.payload.update_encoders import FORMATS, update_encoder
from streams.engine.payload.update_fields import update_of
from tests.tools.schema_registry.written import message_class

ID = 70_000
NAMES = sorted(FORMATS)
Decode = Callable[[bytes], Any]


def registered(name: str) -> Registered:
    return updates_schema(Settings(updates_format=name, schema_registry="http://localhost:8081"))


def no_reference(reference: Reference) -> Registered:
    raise AssertionError(f"no schema names {reference.name}")


@pytest.fixture(scope="module")
def decoders() -> dict[str, Decode]:
    """By format, the decoder that every reader in Thalweg has for the schema."""
    return {name: make_decoder(registered(name), no_reference) for name in NAMES}


def vector(length: int, seed: int) -> bytes:
    """Any bits that are no NaN, also numbers that are not normal."""
    bits = np.random.default_rng(seed).integers(0, 2**32, length, np.uint32)
    return np.where(np.isnan(bits.view(np.float32)), 1, bits).astype("<u4").tobytes()


def update(number: int, places: int = 10) -> RepresentationUpdate:
    items = np.random.default_rng(number).integers(-1, 2**31 - 1, places).astype("<i4").tobytes()
    return RepresentationUpdate(
        f"user-ü-{number}",
        "gru-0f3a5c7e9b1d",
        vector(67, number),
        number + 1,
        1_764_547_200_000 + number,
        f"behavior.events.v1-0-3-{number**3}",
        items or None,
        vector(places, number + 1) or None,
        np.array([7, -1, -1], "<i4").tobytes() if number % 2 else None,
    )


def fields_of(one: RepresentationUpdate) -> dict[str, Any]:
    """The fields of an update as a library of the format takes them."""
    fields = msgspec.structs.asdict(one)
    kinds = {"representation": "<f4", "recent_items": "<i4", "recent_scores": "<f4", "bought_items": "<i4"}
    return fields | {name: np.frombuffer(fields[name] or b"", kind).tolist() for name, kind in kinds.items()}


def by_library(name: str, one: RepresentationUpdate) -> bytes:
    text = registered(name).schema
    if name == "avro":
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, fastavro.parse_schema(json.loads(text)), fields_of(one))
        return stream.getvalue()
    if name == "protobuf":
        message = message_class(compile_proto("u.proto", {"u.proto": text}), "thalweg.RepresentationUpdate")
        return b"\0" + bytes(message(**fields_of(one)).SerializeToString(deterministic=True))
    return msgspec.json.encode(one)


@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_are_those_of_the_libraries(name: str) -> None:
    updates = [update(number, places) for number, places in enumerate((10, 10, 0, 3))]
    written = update_encoder(name, ID)(updates)
    assert written == [b"\0" + ID.to_bytes(4, "big") + by_library(name, one) for one in updates]


@pytest.mark.parametrize("name", NAMES)
def test_every_bit_comes_back(name: str, decoders: dict[str, Decode]) -> None:
    updates = [update(number, number % 4) for number in range(40)]
    updates.append(msgspec.structs.replace(updates[0], event_time_ms=0))
    assert [update_of(decoders[name](value)) for value in update_encoder(name, 1)(updates)] == updates


@given(
    user_id=st.text(min_size=1, max_size=300).filter(lambda text: text.isprintable()),
    steps=st.integers(0, 2**62),
    event_time_ms=st.integers(0, MAX_TIME_MS),
    items=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=12),
)
def test_any_fields_come_back(
    decoders: dict[str, Decode], user_id: str, steps: int, event_time_ms: int, items: list[int]
) -> None:
    packed = np.array(items, "<i4").tobytes() or None
    one = RepresentationUpdate(user_id, "b", vector(3, 1), steps, event_time_ms, "s", packed, None, packed)
    for name in NAMES:
        (value,) = update_encoder(name, 2)([one])
        assert update_of(decoders[name](value)) == one, name


@pytest.mark.parametrize("name", NAMES)
def test_a_replay_in_batches_of_another_size_gives_the_same_bytes(name: str) -> None:
    updates = [update(number) for number in range(23)]
    encode = update_encoder(name, ID)
    whole = encode(updates)
    assert [value for at in range(0, 23, 5) for value in encode(updates[at : at + 5])] == whole
    assert encode([]) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_has_the_fields_of_the_update_in_order(name: str) -> None:
    text = registered(name).schema
    if name == "avro":
        found = [field["name"] for field in json.loads(text)["fields"]]
    elif name == "protobuf":
        message = message_class(compile_proto("u.proto", {"u.proto": text}), "thalweg.RepresentationUpdate")
        found = [field.name for field in sorted(message.DESCRIPTOR.fields, key=lambda field: field.number)]
    else:
        found = list(json.loads(text)["properties"])
    assert found == list(RepresentationUpdate.__struct_fields__)


def test_the_setting_knows_each_format() -> None:
    assert set(CHOICES["updates_format"].__args__) == {"json", *FORMATS}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ([], "an update is an object"),
        ({"user_id": "a", "representation": ["x"]}, "representation holds no numbers"),
        ({"user_id": "a", "representation": [[1.0], []]}, "representation holds no numbers"),
        ({"user_id": "a", "representation": [1.0], "source": "s"}, "bundle_id"),
        ({"user_id": "a", "bundle_id": "b", "source": "s", "representation": [1.0], "steps": -1}, "steps"),
        ({"user_id": "a\udcff", "bundle_id": "b", "source": "s", "representation": [1.0]}, "surrogates not allowed"),
    ],
)
def test_other_fields_are_no_update(fields: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        update_of(fields)
