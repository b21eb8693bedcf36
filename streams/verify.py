"""`thalweg verify`: recompute users' states from the topic and compare them with what is stored.

Every user's events are stepped again from the beginning of the topic, in partition order, by the code that the worker
runs but without its batches, restores and evictions; then state, representation, steps and position are compared.
A user is followed to the later of the stored position and what the consumer group has committed: a stored row that is
behind the commit is a loss, one ahead of it a worker that wrote and did not commit yet.
"""

import argparse
import asyncio
from typing import Any

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer

from export.bundle import Bundle
from streams.arena import NO_OFFSET, Arena, StoredUser
from streams.codec import Rejected, decode_batch
from streams.names import bundle_path, group
from streams.processor import Processor
from streams.reading import read_partition
from streams.security import broker_arguments
from streams.settings import Settings, load_settings
from streams.stepper import Stepper
from streams.store import Store
from streams.topics import describe_topic

TOLERANCE = 1e-5  # batches of other sizes sum in another order: float32 differs by about 1e-7 a step, and a GRU forgets
POLL_RECORDS = 2000
SHOWN = 20


class Verification(msgspec.Struct, kw_only=True):
    """What a verification found. `events` are applied ones; `dead_letters` were rejected by the codec."""

    users: int = 0
    events: int = 0
    already_applied: int = 0
    dead_letters: int = 0
    erasures: int = 0
    max_abs_diff: float = 0.0
    not_committed: int = 0  # records that the consumer group has still to commit
    unverifiable: int = 0  # users whose first events are no longer in the topic
    mismatches: list[str] = []  # at most SHOWN of them, in words
    mismatched: int = 0

    @property
    def clean(self) -> bool:
        return self.mismatched == 0

    def differs(self, text: str) -> None:
        self.mismatched += 1
        if len(self.mismatches) < SHOWN:
            self.mismatches.append(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", help="folder of the bundle (default: the setting `bundle`)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    settings = load_settings()
    verification = verify(settings, Bundle.load(bundle_path(args.bundle, settings)))
    if args.json:
        print(msgspec.json.encode(verification).decode())
    else:
        print_report(verification)
    return 0 if verification.clean else 1


def verify(settings: Settings, bundle: Bundle) -> Verification:
    """Recompute and compare every user. Raises BrokerError, StoreError, StateError."""
    topic = describe_topic(settings, settings.behavior_topic, group(settings, bundle))
    store = Store(settings, bundle)
    store.connect()
    try:
        store.take_position(settings.behavior_topic, topic.topic_id, topic.partitions)
        stored = {user.user_id: user for user in store.scan()}
    finally:
        store.close()
    found = Verification(not_committed=topic.lag)
    asyncio.run(_recompute(settings, bundle, topic, stored, found))
    for user_id, row in stored.items():  # what the recompute did not come across
        if NO_OFFSET < row.offset < topic.start_offsets.get(row.partition, 0):
            found.unverifiable += 1
            continue
        found.differs(f"user {user_id!r} has a stored row and no applied event in the topic")
    return found


async def _recompute(
    settings: Settings, bundle: Bundle, topic: Any, stored: dict[str, StoredUser], found: Verification
) -> None:
    stepper = Stepper(bundle)
    consumer = AIOKafkaConsumer(enable_auto_commit=False, max_poll_records=POLL_RECORDS, **broker_arguments(settings))
    await consumer.start()
    try:
        for partition in range(topic.partitions):
            start, end = topic.start_offsets[partition], topic.end_offsets[partition]
            arena = Arena(max(1, end - start), bundle.manifest.state_width, bundle.manifest.representation_width)
            processor = Processor(bundle, stepper, arena)
            committed = topic.committed.get(partition, 0)
            sequence = 0
            async for records in read_partition(consumer, settings.behavior_topic, partition, start, end):
                sequence += 1
                _step(processor, partition, records, stored, committed, sequence, found)
            _compare(arena, partition, stored, found, whole=start == 0)
    finally:
        await consumer.stop()


def _step(
    processor: Processor,
    partition: int,
    records: list[Any],
    stored: dict[str, StoredUser],
    committed: int,
    sequence: int,
    found: Verification,
) -> None:
    outcomes = decode_batch(records)
    kept_records, kept = [], []
    for record, outcome in zip(records, outcomes, strict=True):
        limit = committed
        if not isinstance(outcome, Rejected):
            row = stored.get(outcome.user_id)
            if row is not None and row.partition == partition:
                limit = max(committed, row.offset + 1)
        if record.offset < limit:
            kept_records.append(record)
            kept.append(outcome)
    result = processor.process(partition, kept_records, kept, sequence, evaluate=False)
    found.events += len(result.columns.event)
    found.already_applied += result.already_applied
    found.dead_letters += len(result.rejected)
    found.erasures += len(result.erased)


def _compare(arena: Arena, partition: int, stored: dict[str, StoredUser], found: Verification, whole: bool) -> None:
    for user_id, slot in arena.users():
        found.users += 1
        row = stored.pop(user_id, None)
        steps, offset = int(arena.steps[slot]), int(arena.offset[slot])
        if row is None:
            found.differs(f"user {user_id!r} of partition {partition} has {steps} committed events and no stored row")
        elif not whole and row.steps > steps and (row.partition, row.offset) == (partition, offset):
            found.unverifiable += 1
        elif (row.steps, row.partition, row.offset) != (steps, partition, offset):
            found.differs(
                f"user {user_id!r}: stored {row.steps} steps up to partition {row.partition} offset {row.offset}, "
                f"recomputed {steps} steps up to partition {partition} offset {offset}"
            )
        elif row.last_time_ms != arena.last_time_ms[slot] or row.last_item != arena.last_item.get(slot):
            found.differs(f"user {user_id!r}: time or item of the last event differ after {steps} steps")
        else:
            difference = max(
                float(np.abs(row.state - arena.state[slot]).max()),
                float(np.abs(row.representation - arena.representation[slot]).max()),
            )
            found.max_abs_diff = max(found.max_abs_diff, difference)
            if not difference <= TOLERANCE:  # also where it is NaN
                found.differs(f"user {user_id!r}: after {steps} steps the stored state differs by {difference:.2e}")


def print_report(found: Verification) -> None:
    for text in found.mismatches:
        print(f"  {text}")
    if found.mismatched > len(found.mismatches):
        print(f"  and {found.mismatched - len(found.mismatches)} more")
    verdict = "clean" if found.clean else f"{found.mismatched} users differ"
    print(
        f"verify: {verdict}; {found.users} users, {found.events} events applied, "
        f"{found.already_applied} already applied, {found.dead_letters} dead letters, "
        f"{found.erasures} erasures, largest difference {found.max_abs_diff:.1e}"
        + (f"; {found.not_committed} records are not committed yet" if found.not_committed else "")
        + (f"; {found.unverifiable} users began before the topic's first record" if found.unverifiable else "")
    )
