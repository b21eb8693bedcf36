"""`thalweg represent` gives the rows that Cassandra had at moments while a worker applied events."""

import asyncio
import json
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from streams.broker.topic_reader import read_topic
from streams.cli import main
from streams.engine.arena import StoredUser
from streams.engine.codec import ContractDecoder
from streams.store.store import Store, open_store
from tests.support.archives import write_segment
from tests.support.deployment import Deployment, shopping
from tests.support.stream.moments import Stored, read_features, write_labels

PARTS = 3
ERASED = "user-0"
TOLERANCE = 1e-5  # the worker's batches have other sizes, so that sums have another order


class Read(NamedTuple):
    """A row of Cassandra, and a moment at which the row was there."""

    row: StoredUser
    time_ms: int


Pair = tuple[bytes, bytes]


def time_of(record: Pair) -> int:
    return int(json.loads(record[1])["event_time_ms"])


def parts_of(records: list[Pair]) -> list[list[Pair]]:
    """The records in three parts. Every event of a part is later than all events of the part before."""
    cuts = [0]
    for part in range(1, PARTS):
        cut = part * len(records) // PARTS
        while time_of(records[cut]) <= max(map(time_of, records[:cut])):
            cut += 1
        cuts.append(cut)
    return [records[begin:end] for begin, end in pairwise([*cuts, len(records)])]


def rows_of(store: Store) -> list[StoredUser]:
    return [row for row in store.users.scan() if isinstance(row, StoredUser)]


def write_archive(deployment: Deployment, folder: Path) -> dict[tuple[int, int], tuple[str, int]]:
    """Write all records of the topic as an archive. Returns the user and the timestamp by partition and offset."""

    async def read() -> list[Any]:
        return [r async for batch in read_topic(deployment.settings, deployment.settings.behavior_topic) for r in batch]

    records = sorted(asyncio.run(read()), key=lambda record: (record.partition, record.offset))
    for partition in {record.partition for record in records}:
        own = [record for record in records if record.partition == partition]
        times = [record.timestamp for record in own]
        write_segment(folder, partition, 0, times, ContractDecoder().decode_batch(own))
    return {(record.partition, record.offset): (record.key.decode(), record.timestamp) for record in records}


def represented(deployment: Deployment, events: Path, labels: list[tuple[str, int]], folder: Path) -> list[Stored]:
    at, out = folder / "labels.parquet", folder / "features.parquet"
    write_labels(at, labels)
    of = ["--bundle", str(deployment.bundle.path), "--events", str(events), "--at", str(at), "--out", str(out)]
    assert main(["represent", *of, "--overwrite"]) == 0
    return read_features(out)


def check(found: list[Stored], rows: list[StoredUser]) -> float:
    """Compare, and return the share of vectors that are equal to the last bit."""
    equal = 0
    for one, row in zip(found, rows, strict=True):
        assert (one.steps, one.last_time_ms) == (row.steps, row.last_time_ms), row.user_id
        np.testing.assert_allclose(one.representation, row.representation, atol=TOLERANCE, rtol=0)
        equal += bool((one.representation == row.representation).all())
    return equal / len(rows)


def test_the_vectors_are_those_that_readers_had(deployment: Deployment, tmp_path: Path) -> None:
    sent = sorted(shopping(3_600, 60, seed=33), key=time_of)
    sent = [sent[at - 3] if at % 40 == 39 else one for at, one in enumerate(sent)]  # ids that come again
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"".join(value + b"\n" for _, value in sent))
    store = open_store(deployment.settings, deployment.bundle)
    worker = deployment.worker()
    worker.start()
    quiet: list[tuple[int, list[StoredUser]]] = []  # the time of the last event so far, and the rows
    moving: list[StoredUser] = []
    for part, records in enumerate(parts_of(sent)):
        sending = threading.Thread(target=deployment.send, args=(records, 1_500))
        sending.start()
        while sending.is_alive():
            moving += rows_of(store)
            time.sleep(0.1)
        sending.join()
        if part == 1:
            deployment.send([(ERASED.encode(), None)])
        deployment.wait_until_committed()
        quiet.append((max(map(time_of, records)), rows_of(store)))
    worker.stop()
    store.close()

    kept = [(last_ms, [row for row in rows if row.user_id != ERASED]) for last_ms, rows in quiet]
    labels = [(row.user_id, last_ms + 1) for last_ms, rows in kept for row in rows]
    check(represented(deployment, log, labels, tmp_path), [row for _, rows in kept for row in rows])

    at = write_archive(deployment, tmp_path / "archive")
    reads = reads_between_records(at, [*moving, *(row for _, rows in quiet for row in rows)])
    assert len({read.row.steps for read in reads}) > 20
    assert any(read.row.user_id == ERASED for read in reads)
    labels = [(read.row.user_id, read.time_ms) for read in reads]
    found = represented(deployment, tmp_path / "archive", labels, tmp_path)
    assert check(found, [read.row for read in reads]) > 0


def reads_between_records(at: dict[tuple[int, int], tuple[str, int]], rows: list[StoredUser]) -> list[Read]:
    """The rows whose user has no other record in the millisecond of the record that the row holds last.

    A row was there from its last record until the user's next record.
    """
    found = []
    for row in rows:
        own = sorted(
            (offset, time_ms)
            for (partition, offset), (user_id, time_ms) in at.items()
            if partition == row.partition and user_id == row.user_id
        )
        last_ms = next(time_ms for offset, time_ms in own if offset == row.offset)
        next_ms = next((time_ms for offset, time_ms in own if offset > row.offset), last_ms + 1)
        if next_ms > last_ms:
            found.append(Read(row, next_ms))
    return found
