"""Measures the index of look-alikes: memory for each user, time of an update and of a search.

`python -m tests.benchmarks.serving.lookalikes --users 1000000 [--kafka]`. The updates have random vectors of the demo's
width. With `--kafka`, a local Kafka holds the updates, and a follower reads the topic from its beginning. Prints one
JSON object on the last line.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from export.runtime.bundle import Bundle
from streams.broker.clients import open_producer
from streams.broker.topics import ensure_topics
from streams.config.settings import Settings
from streams.contracts.representation_updates import RepresentationUpdate, update_keys
from streams.demo.shop import BUNDLE
from streams.local import local_services
from streams.serve.lookalikes.follower import LookalikeFollower

BATCH, SEARCHES, K = 2_000, 20, 31


class Record(NamedTuple):
    key: bytes
    value: bytes


def records(bundle: Bundle, users: int) -> Iterator[list[Record]]:
    """Yield the updates of these users in batches."""
    draw = np.random.default_rng(0)
    width = bundle.manifest.representation_width
    for begin in range(0, users, BATCH):
        names = [f"user-{number:09d}" for number in range(begin, min(users, begin + BATCH))]
        vectors = draw.normal(size=(len(names), width)).astype("<f4")
        keys = update_keys(bundle.bundle_id, names)
        yield [
            Record(
                key,
                msgspec.json.encode(
                    RepresentationUpdate(
                        name, bundle.bundle_id, vector.tobytes(), 7, 10**12, "behavior.events.v1-0-3-42"
                    )
                ),
            )
            for key, name, vector in zip(keys, names, vectors, strict=True)
        ]


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def in_memory(bundle: Bundle, users: int) -> dict[str, Any]:
    """Apply the updates, and search."""
    follower = LookalikeFollower(Settings(), [bundle], lambda _: Settings().updates_topic)
    before, applied_s = resident_bytes(), 0.0
    for batch in records(bundle, users):
        began_s = time.process_time()
        follower.apply(batch)
        applied_s += time.process_time() - began_s
    index = follower.indexes[bundle.bundle_id]
    assert len(index) == users
    queries = np.random.default_rng(1).normal(size=(SEARCHES, index.width)).astype(np.float32)
    took_s, cpu_s = [], time.process_time()
    for query in queries:
        began_s = time.perf_counter()
        index.nearest([query], K)
        took_s.append(time.perf_counter() - began_s)
    cpu_s = time.process_time() - cpu_s
    return {
        "users": users,
        "bytes_per_user": round((resident_bytes() - before) / users),
        "update_us": round(1e6 * applied_s / users, 2),
        "search_ms": round(1e3 * float(np.median(took_s)), 1),
        "search_cpu_ms": round(1e3 * cpu_s / SEARCHES, 1),
    }


async def send(settings: Settings, bundle: Bundle, users: int) -> None:
    failure = "the updates could not be written"
    async with open_producer(settings, failure, linger_ms=20, max_batch_size=1 << 20) as producer:
        for batch in records(bundle, users):
            sent = [await producer.send(settings.updates_topic, key=one.key, value=one.value) for one in batch]
        await asyncio.gather(*sent)


async def followed(follower: LookalikeFollower, bundle_id: str, users: int) -> tuple[float, float]:
    """The seconds until the index is complete, and the seconds of CPU."""
    began_s, cpu_s = time.perf_counter(), time.process_time()
    async with follower.following():
        while follower.age_ms is None or len(follower.indexes[bundle_id]) < users:  # noqa: ASYNC110  # another thread sets it
            await asyncio.sleep(0.05)
        return time.perf_counter() - began_s, time.process_time() - cpu_s


def from_kafka(bundle: Bundle, users: int) -> dict[str, Any]:
    """Read the updates from a topic, and measure until the index is complete."""
    with local_services() as services:
        settings = Settings(**services.client_settings)
        ensure_topics(settings)
        asyncio.run(send(settings, bundle, users))
        follower = LookalikeFollower(settings, [bundle], lambda _: settings.updates_topic)
        took_s, cpu_s = asyncio.run(followed(follower, bundle.bundle_id, users))
    return {"kafka_users": users, "complete_after_s": round(took_s, 1), "read_cpu_us": round(1e6 * cpu_s / users, 1)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--kafka", action="store_true")
    args = parser.parse_args()
    bundle = Bundle.load(BUNDLE)
    with threadpool_limits(1, "blas"):  # as in the server
        print(json.dumps(from_kafka(bundle, args.users) if args.kafka else in_memory(bundle, args.users)))


if __name__ == "__main__":
    main()
