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

from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from streams.broker.topic_reader import read_partition, read_topic
from streams.broker.topics import Topic, describe_topic
from streams.config.security import broker_arguments
from streams.config.settings import Settings, load_settings
from streams.contracts.dead_letters import FIELD_HEADER, OFFSET_HEADER, PARTITION_HEADER, TOPIC_HEADER, decode_headers
from streams.engine.arena import NO_OFFSET, Arena, StoredUser
from streams.engine.codec import Outcome, Rejected, decode_batch
from streams.engine.planning.plan import Part
from streams.engine.processor import Processor
from streams.store.user_rows import DamagedRow, Store
from streams.worker.source import Source

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
    verification = verify(settings, Bundle.load(settings.bundle_folder(args.bundle)))
    if args.json:
        print(msgspec.json.encode(verification).decode())
    else:
        print_report(verification)
    return 0 if verification.clean else 1


def verify(settings: Settings, bundle: Bundle) -> Verification:
    """Recompute and compare every user. Raises BrokerError, StoreError."""
    topic = describe_topic(settings, settings.behavior_topic, settings.consumer_group_id(bundle.bundle_id))
    store = Store(settings, bundle)
    store.connect()
    try:
        moved = len(Source(settings, bundle, store).look().comparable) > 1
        rows = list(store.scan())
    finally:
        store.close()
    found = Verification(not_committed=topic.lag)
    for row in rows:
        if isinstance(row, DamagedRow):
            found.differs(row.why)
    stored = {row.user_id: row for row in rows if isinstance(row, StoredUser)}
    asyncio.run(_recompute(settings, bundle, topic, moved, stored, found))
    for user_id, row in stored.items():  # what the recompute did not come across
        if NO_OFFSET < row.offset < topic.start_offsets.get(row.partition, 0):
            found.unverifiable += 1
            continue
        found.differs(f"user {user_id!r} has a stored row and no applied event in the topic")
    return found


async def _recompute(
    settings: Settings, bundle: Bundle, topic: Topic, moved: bool, stored: dict[str, StoredUser], found: Verification
) -> None:
    records = max(1, topic.records)
    arena = Arena(records, bundle.manifest.state_width, bundle.manifest.representation_width)
    recompute = Recompute(Processor(bundle, Stepper(bundle), arena), topic, stored, found)
    recompute.misplaced = await _misplaced(settings)
    consumer = AIOKafkaConsumer(enable_auto_commit=False, max_poll_records=POLL_RECORDS, **broker_arguments(settings))
    await consumer.start()
    try:
        # Where partitions were added, a user's events in other partitions came before those where it is at home.
        for at_home in (False, True) if moved else (None,):
            for partition in range(topic.partitions):
                start, end = topic.start_offsets[partition], topic.end_offsets[partition]
                async for batch in read_partition(consumer, topic.name, partition, start, end):
                    recompute.step(partition, batch, at_home)
    finally:
        await consumer.stop()
    recompute.compare()


async def _misplaced(settings: Settings) -> set[tuple[int, int]]:
    """Partition and offset of the records that a worker set aside since their users belong to another partition."""
    found = set()
    async for batch in read_topic(settings, settings.dead_letter_topic):
        for record in batch:
            headers = decode_headers(record.headers)
            if headers.get(FIELD_HEADER) == "partition" and headers.get(TOPIC_HEADER) == settings.behavior_topic:
                found.add((int(headers[PARTITION_HEADER]), int(headers[OFFSET_HEADER])))
    return found


class Recompute:
    """States from the topic alone."""

    def __init__(self, processor: Processor, topic: Topic, stored: dict[str, StoredUser], found: Verification) -> None:
        self._processor = processor
        self._topic = topic
        self._stored = stored
        self._found = found
        self._sequence = 0
        self.misplaced: set[tuple[int, int]] = set()

    def step(self, partition: int, records: list[Any], at_home: bool | None) -> None:
        """at_home: only users that are stored under this partition (or nowhere), only others, or all."""
        found, kept_records, kept = self._found, [], []
        for record, outcome in zip(records, decode_batch(records), strict=True):
            if (partition, record.offset) in self.misplaced:
                found.dead_letters += at_home is not False
            elif self._is_wanted(partition, record.offset, outcome, at_home):
                kept_records.append(record)
                kept.append(outcome)
        self._sequence += 1
        self._move(partition, kept)
        result = self._processor.process([Part(partition, kept_records, kept)], self._sequence, evaluate=False)
        found.events += len(result.columns.event)
        found.already_applied += result.already_applied
        found.dead_letters += len(result.rejected)
        found.erasures += len(result.erased)

    def _is_wanted(self, partition: int, offset: int, outcome: Outcome, at_home: bool | None) -> bool:
        committed = self._topic.committed.get(partition, 0)
        if isinstance(outcome, Rejected):
            return offset < committed and at_home is not False
        row = self._stored.get(outcome.user_id)
        if at_home is not None and at_home != (row is None or row.partition == partition):
            return False
        is_ahead = row is not None and row.partition == partition and offset <= row.offset
        return is_ahead or offset < committed

    def _move(self, partition: int, outcomes: list[Outcome]) -> None:
        """Users that come from another partition go on here with their history."""
        arena = self._processor.arena
        for outcome in outcomes:
            if not isinstance(outcome, Rejected):
                slot = arena.slot(outcome.user_id)
                if slot is not None and arena.partition[slot] != partition:
                    arena.partition[slot], arena.offset[slot] = partition, NO_OFFSET

    def compare(self) -> None:
        """Compare every user with its stored row, taking it out of `stored`."""
        arena, found = self._processor.arena, self._found
        for user_id, slot in arena.users():
            found.users += 1
            row = self._stored.pop(user_id, None)
            steps, partition, offset = int(arena.steps[slot]), int(arena.partition[slot]), int(arena.offset[slot])
            is_whole = not any(self._topic.start_offsets.values())
            if row is None:
                found.differs(
                    f"user {user_id!r} of partition {partition} has {steps} committed events and no stored row"
                )
            elif not is_whole and row.steps > steps and (row.partition, row.offset) == (partition, offset):
                found.unverifiable += 1
            elif (row.steps, row.partition, row.offset) != (steps, partition, offset):
                found.differs(
                    f"user {user_id!r}: stored {row.steps} steps up to partition {row.partition} offset {row.offset}, "
                    f"recomputed {steps} steps up to partition {partition} offset {offset}"
                )
            elif row.last_time_ms != arena.last_time_ms[slot] or row.last_item != arena.last_item[slot]:
                found.differs(f"user {user_id!r}: time or item of the last event differ after {steps} steps")
            else:
                self._compare_vectors(row, slot)

    def _compare_vectors(self, row: StoredUser, slot: int) -> None:
        arena, found = self._processor.arena, self._found
        difference = max(
            float(np.abs(row.state - arena.state[slot]).max()),
            float(np.abs(row.representation - arena.representation[slot]).max()),
        )
        found.max_abs_diff = max(found.max_abs_diff, difference)
        if not difference <= TOLERANCE:  # also where it is NaN
            found.differs(f"user {row.user_id!r}: after {row.steps} steps the stored state differs by {difference:.2e}")


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
