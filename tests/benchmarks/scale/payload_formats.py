"""How long it takes to decode a record to an event, by the format of its value.

    python -m tests.benchmarks.scale.payload_formats [--records 100000] [--rounds 5] [--json]

The same events of eight fields are written as JSON of the contract, and with a schema registry as JSON, as Avro and as
Protobuf. Each round decodes batches of 1,000 records as a worker does, once in each format. Times are µs of CPU for
each record, of the best round. The schemas are known, so no registry is asked.
"""

import argparse
import json
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from typing import Any, NamedTuple

from encoder.data.events import BehaviorEvent
from streams.broker.decoding.client import Reference, Registered
from streams.broker.decoding.decoders import make_decoder
from streams.broker.decoding.protoc import compile_proto
from streams.engine.codec import ContractDecoder, RecordDecoder, Rejected
from streams.engine.payload.mapped_decoder import PayloadDecoder
from streams.engine.payload.registry_reader import Decode, RegistryReader
from tests.tools.schema_registry.written import avro, json_value, message_class, protobuf

RECORDS, ROUNDS, BATCH = 100_000, 5, 1_000
_TEXTS = ("event_id", "user_id", "item_id", "action")
_OPTIONAL = ("session_id", "category")
_AVRO_FIELDS = [
    *({"name": name, "type": "string"} for name in _TEXTS),
    {"name": "event_time_ms", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    *({"name": name, "type": ["null", "string"], "default": None} for name in _OPTIONAL),
]
_DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
_AVRO = {"type": "record", "name": "Event", "fields": [*_AVRO_FIELDS, {"name": "price", "type": ["null", "double"]}]}
_AVRO_DECIMAL = {**_AVRO, "fields": [*_AVRO_FIELDS, {"name": "price", "type": ["null", _DECIMAL]}]}
_PROTO = """syntax = "proto3";
message Event { string event_id = 1; string user_id = 2; string item_id = 3; string action = 4;
  int64 event_time_ms = 5; optional string session_id = 6; optional string category = 7; optional double price = 8; }
"""
_SCHEMAS = {
    1: Registered("{}", "JSON"),
    2: Registered(json.dumps(_AVRO)),
    3: Registered(json.dumps(_AVRO_DECIMAL)),
    4: Registered(_PROTO, "PROTOBUF"),
}


class Record(NamedTuple):
    """What a decoder reads of a record."""

    key: bytes
    value: bytes
    timestamp: int


def no_reference(reference: Reference) -> Registered:
    raise AssertionError(f"no schema names {reference.name}")


class Known:
    """The decoders of _SCHEMAS."""

    def __init__(self) -> None:
        self._decoders: dict[int, Decode | Rejected] = {}
        for schema_id, registered in _SCHEMAS.items():
            self._decoders[schema_id] = make_decoder(registered, no_reference)

    def decoders(self, ids: AbstractSet[int]) -> Mapping[int, Decode | Rejected]:
        return self._decoders


def fields(number: int) -> dict[str, Any]:
    return {
        "event_id": f"e-{number:07}",
        "user_id": f"user-{number % 5_000}",
        "item_id": f"item-{number % 2_000}",
        "action": "view",
        "event_time_ms": 1_764_400_000_000 + number,
        "session_id": f"s-{number % 9_000}",
        "category": "electronics.phone",
        "price": number % 100_000 / 100,
    }


def written(records: int) -> dict[str, list[Record]]:
    """The same events in each format."""
    message = message_class(compile_proto("event.proto", {"event.proto": _PROTO}), "Event")
    found: dict[str, list[Record]] = {}
    for number in range(records):
        event = fields(number)
        values = {
            "JSON of the contract": json.dumps(event).encode(),
            "JSON with an id": json_value(1, event),
            "Avro": avro(2, _AVRO, event),
            "Avro, price as a decimal": avro(3, _AVRO_DECIMAL, event | {"price": Decimal(str(event["price"]))}),
            "Protobuf": protobuf(4, b"\0", message(**event)),
        }
        for name, value in values.items():
            found.setdefault(name, []).append(Record(event["user_id"].encode(), value, event["event_time_ms"]))
    return found


def decode_s(decoder: RecordDecoder, records: list[Record]) -> float:
    """The seconds of CPU for all records, in batches."""
    started_s = time.process_time()
    for start in range(0, len(records), BATCH):
        outcomes = decoder.decode_batch(records[start : start + BATCH])
    taken_s = time.process_time() - started_s
    assert all(isinstance(outcome, BehaviorEvent) for outcome in outcomes), outcomes[0]
    return taken_s


def format_figures(records: int = RECORDS, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """By format: `us`, the CPU time of a record, and `bytes`, the mean size of a value."""
    by_format = written(records)
    decoders = {name: PayloadDecoder(RegistryReader(Known())) for name in by_format}
    decoders["JSON of the contract"] = ContractDecoder()
    best = dict.fromkeys(by_format, float("inf"))
    for _ in range(rounds):
        for name, of_format in by_format.items():
            best[name] = min(best[name], decode_s(decoders[name], of_format))
    return {
        name: {"us": best[name] / records * 1e6, "bytes": sum(len(one.value) for one in of_format) / records}
        for name, of_format in by_format.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale.payload_formats", description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = format_figures(arguments.records, arguments.rounds)
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, one in figures.items():
        print(f"{name:28}{one['us']:6.2f} µs{one['bytes']:8.0f} bytes")


if __name__ == "__main__":
    main()
