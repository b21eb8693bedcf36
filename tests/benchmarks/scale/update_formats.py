"""How long it takes to write and to read a representation update, by its format.

    python -m tests.benchmarks.scale.update_formats [--updates 20000] [--rounds 5] [--json]

An update has the fields of a default model: 67 components, ten recent items with scores, and ten bought items. Each
round writes batches of 1,000 updates as a worker does, and reads the values as `thalweg serve` and `thalweg monitor`
do, once in each format. Times are µs of CPU for each update, of the best round. The row `fastavro` writes the same
bytes as `avro` by the library. `gzip` is the size of an update in a batch with the worker's default codec.
"""

import argparse
import io
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import fastavro
import msgspec
import numpy as np

from streams.broker.compression import gzip_encode
from streams.broker.decoding.decoders import make_decoder
from streams.broker.decoding.registration import updates_schema
from streams.config.settings import Settings
from streams.contracts.representation_updates import RepresentationUpdate, read_json_update
from streams.engine.payload.update_encoders import FORMATS, update_encoder
from streams.engine.payload.update_fields import update_of
from tests.benchmarks.scale.payload_formats import no_reference

UPDATES, ROUNDS, BATCH = 20_000, 5, 1_000
WIDTH, PLACES, ITEMS = 67, 10, 2_000
Write = Callable[[Sequence[RepresentationUpdate]], list[bytes]]
Read = Callable[[bytes], RepresentationUpdate]


def updates(number: int) -> list[RepresentationUpdate]:
    random = np.random.default_rng(1)
    vectors = random.standard_normal((number, WIDTH)).astype("<f4")
    scores = random.standard_normal((number, PLACES)).astype("<f4")
    items = random.integers(1, ITEMS, (2, number, PLACES)).astype("<i4")
    return [
        RepresentationUpdate(
            f"user-{at % 5_000}",
            "gru-0f3a5c7e9b1d",
            vectors[at].tobytes(),
            at // 5_000 + 1,
            1_764_400_000_000 + at,
            f"behavior.events.v1-0-{at % 4}-{at}",
            items[0, at].tobytes(),
            scores[at].tobytes(),
            items[1, at].tobytes(),
        )
        for at in range(number)
    ]


def write_json(batch: Sequence[RepresentationUpdate]) -> list[bytes]:
    return msgspec.json.Encoder().encode_lines(list(batch)).split(b"\n")[:-1]


def write_by_fastavro(batch: Sequence[RepresentationUpdate]) -> list[bytes]:
    values = []
    for one in batch:
        fields = msgspec.structs.asdict(one)
        for name in ("representation", "recent_scores"):
            fields[name] = np.frombuffer(fields[name], "<f4").tolist()
        for name in ("recent_items", "bought_items"):
            fields[name] = np.frombuffer(fields[name], "<i4").tolist()
        stream = io.BytesIO()
        stream.write(b"\0\0\0\0\1")
        fastavro.schemaless_writer(stream, _AVRO, fields)
        values.append(stream.getvalue())
    return values


def _text(name: str) -> Any:
    return updates_schema(Settings(updates_format=name, schema_registry="http://localhost:8081"))


_AVRO = fastavro.parse_schema(json.loads(_text("avro").schema))


def _reader(name: str) -> Read:
    decode = make_decoder(_text(name), no_reference)
    return lambda value: update_of(decode(value))


def format_figures(number: int = UPDATES, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """By format: `write_us` and `read_us`, the CPU time of an update, and its `bytes`, also after `gzip`."""
    written = updates(number)
    ways: dict[str, tuple[Write, Read]] = {"json": (write_json, read_json_update)}
    ways |= {name: (update_encoder(name, 1), _reader(name)) for name in FORMATS}
    ways["fastavro"] = (write_by_fastavro, _reader("avro"))
    found: dict[str, dict[str, float]] = {name: {"write_us": float("inf"), "read_us": float("inf")} for name in ways}
    for _ in range(rounds):
        for name, (write, read) in ways.items():
            started_s = time.process_time()
            values = [value for at in range(0, number, BATCH) for value in write(written[at : at + BATCH])]
            wrote_s = time.process_time()
            assert [read(value) for value in values][-1] == written[-1]
            read_s = time.process_time()
            one = found[name]
            one["write_us"] = min(one["write_us"], (wrote_s - started_s) / number * 1e6)
            one["read_us"] = min(one["read_us"], (read_s - wrote_s) / number * 1e6)
            one["bytes"] = sum(map(len, values)) / number
            one["gzip"] = sum(len(gzip_encode(b"".join(values[at : at + BATCH]))) for at in range(0, number, BATCH))
            one["gzip"] /= number
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale.update_formats", description=__doc__)
    parser.add_argument("--updates", type=int, default=UPDATES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = format_figures(arguments.updates, arguments.rounds)
    if arguments.json:
        print(json.dumps(figures))
        return
    for name, one in figures.items():
        print(
            f"{name:12} write {one['write_us']:6.2f} µs   read {one['read_us']:6.2f} µs   {one['bytes']:4.0f} bytes, "
            f"{one['gzip']:4.0f} after gzip"
        )


if __name__ == "__main__":
    main()
