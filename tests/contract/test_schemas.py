"""The contracts in the repository are those of the code, and the code accepts only records that fulfil them."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from encoder.data.events import BehaviorEvent
from streams.config.settings import Settings
from streams.contracts.behavior_events import IncomingEvent
from streams.contracts.dead_letters import DeadLetterHeaders, dead_letter, decode_headers
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.fields import MAX_KEY_BYTES, MAX_VALUE_BYTES
from streams.contracts.generate import FOLDER, documents, file_text
from streams.contracts.metrics_events import MetricsEvent
from streams.contracts.representation_updates import RepresentationUpdate
from streams.engine.codec import Rejected, decode

EVENT: dict[str, Any] = {
    "event_id": "e1",
    "user_id": "u1",
    "item_id": "i1",
    "action": "view",
    "event_time_ms": 0,
    "session_id": "s1",
    "category": "shoes",
    "price": 1.5,
}
SCHEMA = documents()["behavior.events.v1.json"]


def test_the_files_of_the_contracts_are_those_that_the_code_generates() -> None:
    expected = {name: file_text(document) for name, document in documents().items()}
    found = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert found == expected, "run `python -m streams.contracts.generate` and commit the change"


def test_every_reference_in_the_asyncapi_document_has_a_target() -> None:
    root = documents()["asyncapi.json"]

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            return [node["$ref"]] if "$ref" in node else [r for child in node.values() for r in references(child)]
        return []

    found = references(root)
    assert len(found) == 18
    for reference in found:
        if reference.startswith("#/"):
            node = root
            for part in reference[2:].split("/"):
                node = node[part]
        else:
            assert (FOLDER / reference).is_file()


def test_every_topic_is_described() -> None:
    addresses = {channel["address"] for channel in documents()["asyncapi.json"]["channels"].values()}
    settings = Settings()
    assert addresses == {getattr(settings, name) for name in Settings.__struct_fields__ if name.endswith("_topic")}


def test_the_incoming_event_has_the_fields_of_the_behaviour_event() -> None:
    incoming = {field.name: field.required for field in msgspec.structs.fields(IncomingEvent)}
    assert incoming == {field.name: field.required for field in msgspec.structs.fields(BehaviorEvent)}
    assert set(SCHEMA["properties"]) == set(incoming)
    assert set(SCHEMA["required"]) == {name for name, required in incoming.items() if required}


def bounds() -> list[tuple[str, str, Any, Any]]:
    """Return (field, bound, last value inside, first value outside) for each bound in the schema."""
    cases: list[tuple[str, str, Any, Any]] = []
    for name, schema in SCHEMA["properties"].items():
        for option in schema.get("anyOf", [schema]):
            for bound, at in option.items():
                if bound == "minLength":
                    cases.append((name, bound, "x" * at, "x" * (at - 1)))
                elif bound == "maxLength":
                    cases.append((name, bound, "x" * at, "x" * (at + 1)))
                elif bound == "minimum":
                    cases.append((name, bound, at, at - 1))
                elif bound == "maximum":
                    cases.append((name, bound, at, at + 1))
    return cases


@pytest.mark.parametrize(("field", "bound", "inside", "outside"), bounds())
def test_the_codec_accepts_only_values_within_each_bound_of_the_schema(
    field: str, bound: str, inside: Any, outside: Any
) -> None:
    def outcome(value: Any) -> Any:
        event = EVENT | {field: value}
        return decode(event["user_id"].encode(), json.dumps(event).encode(), max(0, event["event_time_ms"]))

    assert getattr(outcome(inside), field) == inside
    if field in SCHEMA["required"]:
        rejected = outcome(outside)
        assert isinstance(rejected, Rejected)
        assert rejected.field == field
    else:
        assert getattr(outcome(outside), field) is None


def test_the_schema_has_as_many_bounds_as_expected() -> None:
    assert len(bounds()) == 4 * 2 + 2 + 2 + 1


@pytest.mark.parametrize("contract", [IncomingEvent, EvaluationEvent, RepresentationUpdate, MetricsEvent])
def test_no_contract_loses_a_field(contract: type[msgspec.Struct]) -> None:
    """A contract may get new fields. To remove or rename a field needs a new version of the topic."""
    kept = json.loads((Path(__file__).parent / "fields.v1.json").read_text())[contract.__name__]
    assert set(kept) <= set(contract.__struct_fields__)


def record(key: bytes | None, value: bytes | None) -> Any:
    return SimpleNamespace(topic="events", partition=3, offset=42, timestamp=7, key=key, value=value, headers=())


def test_a_dead_letter_has_the_original_record_with_reason_and_position() -> None:
    letter = dead_letter(record(b"u\xff", b"\x00"), "price is -1 in “x”", "price", epoch=2)
    assert (letter.key, letter.value) == (b"u\xff", b"\x00")
    assert decode_headers(letter.headers) == {
        "thalweg-reason": "price is -1 in “x”",
        "thalweg-field": "price",
        "thalweg-topic": "events",
        "thalweg-epoch": "2",
        "thalweg-partition": "3",
        "thalweg-offset": "42",
        "thalweg-timestamp-ms": "7",
    }
    assert msgspec.convert(decode_headers(letter.headers), DeadLetterHeaders, strict=False).offset == 42


def test_a_dead_letter_of_a_huge_record_is_truncated_and_says_so() -> None:
    letter = dead_letter(record(b"k" * 900_000, b"v" * 2_000_000), "too large", "value", epoch=0)
    assert (len(letter.key or b""), len(letter.value or b"")) == (MAX_KEY_BYTES, MAX_VALUE_BYTES)
    headers = msgspec.convert(decode_headers(letter.headers), DeadLetterHeaders, strict=False)
    assert (headers.key_bytes, headers.value_bytes) == (900_000, 2_000_000)


def test_a_dead_letter_of_a_record_without_key_or_value_has_none() -> None:
    letter = dead_letter(record(None, None), "no key", "key", epoch=0)
    assert (letter.key, letter.value) == (None, None)
