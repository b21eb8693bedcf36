"""Reads the stored rows and the topic, and compares both.

The code of the worker steps every user's events again, from the beginning of the topic and in the order of the
partition. State, representation, number of steps and position are then compared. A user is followed to the later of the
stored position and the offset that the consumer group has committed. A stored row behind the commit is a loss. A stored
row ahead of the commit belongs to a worker that has written and not committed yet.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from encoder.data.contract.judge import DROPPABLE_FIELDS
from encoder.wording import counted
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from streams.broker.decoding.pseudonym_key import open_pseudonyms
from streams.broker.decoding.record_decoder import open_decoder
from streams.broker.offsets.group_offsets import count_members
from streams.broker.topic_reader import read_topic
from streams.broker.topics import Topic, describe_topic, topic_exists
from streams.commands.verify.growing_arena import GrowingArena
from streams.commands.verify.history import History, open_history
from streams.commands.verify.recompute import Recompute, Users
from streams.commands.verify.result import Verification
from streams.config.errors import InputError, SettingsError
from streams.config.settings import Settings
from streams.contracts.dead_letters import (
    BUNDLE_HEADER,
    FIELD_HEADER,
    OFFSET_HEADER,
    PARTITION_HEADER,
    SCHEMA_FIELD,
    TOPIC_HEADER,
    decode_headers,
    epoch_of,
)
from streams.engine.arena import NO_OFFSET, StoredUser
from streams.engine.codec import RecordDecoder
from streams.engine.epochs import EpochView
from streams.engine.processor import Processor
from streams.health.rights.check import check_broker_rights, check_store_rights
from streams.store.cql_schema import HIGHEST_GENERATION
from streams.store.positions.stored_positions import NO_POSITIONS
from streams.store.store import Store, open_store
from streams.store.user_rows import DamagedRow

if TYPE_CHECKING:
    from streams.archive.reader import ArchiveReader

BACK = "a worker came back while rows were"
AGAIN = "see that nothing starts workers, such as KEDA, stop all of them, and repeat the repair"


def verify(
    settings: Settings,
    bundle: Bundle,
    repair: bool = False,
    archive: "ArchiveReader | None" = None,
    accept: bool = False,
) -> Verification:
    """Recompute and compare every user. With `repair`, write the rows of users that differ, and verify again.

    archive: an archive of the topic, whose records are read before those of the topic. A repair needs all records from
    the topic's beginning: rows of users whose first events are gone stay as they are. accept: workers go on from the
    commits of the group, also where rows lack committed records. Raises RightsError, BrokerError, StoreError and
    ArchiveError. Raises InputError where the archive belongs to another topic or another decoder. Raises SettingsError
    where the keyspace belongs to another topic or another key of pseudonyms, and where workers run during a repair or
    an acceptance. The members of the group are counted at the beginning, and right before and after a repair writes.
    """
    group_id = settings.consumer_group_id(bundle.bundle_id)
    if repair or accept:
        before = "a repair" if repair else "--accept"
        static = "one with a group_instance_id counts for session_timeout_s after its end"
        _check_stopped(settings, group_id, f"stop all of them before {before}; {static}")
    decoder, pseudonyms = open_decoder(settings), open_pseudonyms(settings)
    # A dead-letter topic that the user may not see looks like a topic that is not there.
    check_broker_rights(settings, "verify", bundle.bundle_id)
    topic = describe_topic(settings, settings.behavior_topic, group_id)
    store = open_store(settings, bundle)
    try:
        check_store_rights(settings, store.session, "verify", [bundle])
        store.registry.check_topic(topic.name)
        store.registry.check_key(None if pseudonyms is None else pseudonyms.fingerprint)
        mappings = store.registry.check_mapping(bundle.bundle_id, decoder.name)
        found, recompute, starts = _verify(settings, bundle, topic, store, decoder, archive)
        resurrected = recompute.resurrected()
        if repair and (recompute.wrong or resurrected):
            _check_repairable(store, topic)
            _check_stopped(settings, group_id, f"{BACK} compared, so nothing was written; {AGAIN}")
            repaired = asyncio.run(_repair(store, recompute))
            _check_stopped(settings, group_id, f"{BACK} repaired, and may replace them; {AGAIN}")
            found, _, starts = _verify(settings, bundle, topic, store, decoder, archive)
            found.repaired, found.deleted = repaired, len(resurrected)
        if accept:
            asyncio.run(store.positions.advance(topic.topic_id, topic.committed, time.time()))
        elif repair and found.clean:
            asyncio.run(_accept_commits(store, topic, starts))
        found.mappings = mappings if len(mappings) > 1 else []
        return found
    finally:
        store.close()


def _check_stopped(settings: Settings, group_id: str, remedy: str) -> None:
    """Raises SettingsError where the group has members. A worker writes the states that it holds over repaired rows.

    The group keeps a static member for a session after its end.
    """
    if members := count_members(settings, group_id):
        running = counted(members, f"worker of group {group_id} is", f"workers of group {group_id} are")
        raise SettingsError(f"{running} running: {remedy}")


def _check_repairable(store: Store, topic: Topic) -> None:
    """Raises InputError where partitions were added to the topic.

    A repaired row would count as one of the last epoch, so that the user's events in another partition became strays.
    """
    epochs = [one for one in store.registry.epochs(topic.name) if one.topic_id == topic.topic_id]
    if len(epochs) > 1:
        raise InputError(
            f"partitions were added to topic {topic.name}, and a repair cannot tell which epoch each row belongs to: "
            "nothing was written. Step the whole history into another keyspace (THALWEG_KEYSPACE) with another group "
            "(THALWEG_GROUP): copy the table `sources` there first, run `thalweg backfill`, and point workers and "
            "readers there"
        )


async def _repair(store: Store, recompute: Recompute) -> int:
    """Write the rows of wrong users, and delete the rows of erased users. Returns the number of rows written."""
    rows, state, representation = recompute.recomputed()
    written = await store.users.repair(rows, state, representation, int(time.time() * 1000))
    await store.users.erase(recompute.resurrected(), HIGHEST_GENERATION)
    return written


async def _accept_commits(store: Store, topic: Topic, starts: Mapping[int, int]) -> None:
    """Enter that the rows hold what is committed, where the history holds all records that a restored row may lack.

    A worker compares the rows with the last records of the topic alone, and the topic may lack these records.
    """
    known = await store.positions.load(topic.topic_id)
    covered = {
        partition: offset
        for partition, offset in topic.committed.items()
        if starts[partition] <= known.get(partition, NO_POSITIONS).before_snapshot()
    }
    await store.positions.advance(topic.topic_id, covered, time.time())


def _verify(
    settings: Settings,
    bundle: Bundle,
    topic: Topic,
    store: Store,
    decoder: RecordDecoder,
    archive: "ArchiveReader | None",
) -> tuple[Verification, Recompute, dict[int, int]]:
    """Compare the rows as they are now. Also returns from which offset the history has all records, by partition.

    topic: as it was before, with the commits of the group.
    """
    epochs = store.registry.epochs(topic.name)
    comparable = frozenset(epoch.number for epoch in epochs if epoch.topic_id == topic.topic_id)
    store.users.use_epoch(EpochView(max(comparable, default=0), comparable))
    rows = list(store.users.scan())
    # Workers may run. The commits are from before the scan, so no row may be behind them. The ends are from after the
    # scan, so the records behind every row can be read.
    topic = topic.with_ends_of(describe_topic(settings, topic.name))
    earlier = {epoch.topic_id for epoch in epochs} - {topic.topic_id}
    log_id = _log_id(store, bundle.bundle_id, archive, bool(earlier))
    history = open_history(settings, topic, decoder, archive, log_id)
    found = Verification(not_committed=topic.lag, earlier_topics=len(earlier), gaps=history.gaps)
    damaged = {row.user_id: row.why for row in rows if isinstance(row, DamagedRow)}
    for why in damaged.values():
        found.add_mismatch(why)
    stored = {row.user_id: row for row in rows if isinstance(row, StoredUser)}
    # Partitions were added in every further epoch. A user's events in earlier partitions came before the events in the
    # partition where the user is stored.
    passes: list[Users] = ["away", "home"] if len(comparable) > 1 else ["all"]
    set_aside = asyncio.run(_set_aside_records(settings, bundle.bundle_id, min(comparable, default=0)))
    arena = GrowingArena(bundle.manifest.state_width, bundle.manifest.representation_width)
    processor = Processor(bundle, Stepper(bundle), arena, user_ttl_ms=settings.user_ttl_ms)
    recompute = Recompute(processor, arena, topic, stored, set_aside, found)
    asyncio.run(_step_all(history, passes, recompute))
    # Retention may have deleted records meanwhile.
    start_offsets = history.starts(describe_topic(settings, topic.name))
    expired_before_ms = None if settings.user_ttl_ms is None else int(time.time() * 1000) - settings.user_ttl_ms
    recompute.compare(start_offsets, damaged, expired_before_ms)
    _report_rows_without_events(recompute, start_offsets, stored, found)
    return found, recompute, start_offsets


def _log_id(store: Store, bundle_id: str, archive: "ArchiveReader | None", was_remade: bool) -> str | None:
    """The log with which the bundle's rows begin. A log before a topic that was deleted belongs to no history."""
    log_id = store.registry.log_of(bundle_id)
    log = None if archive is None else archive.description.log
    return None if was_remade and (log is None or log.id != log_id) else log_id


async def _step_all(history: History, passes: list[Users], recompute: Recompute) -> None:
    """Read the history once for each pass, and step the users."""
    for users in passes:
        async for partition, records, outcomes in history.read():
            recompute.step(partition, records, outcomes, users)


async def _set_aside_records(settings: Settings, bundle_id: str, epoch: int) -> set[tuple[int, int]]:
    """Partition and offset of the records for which `was_set_aside` holds.

    epoch: the topic's incarnation. At the same offset of a deleted topic stood another record. Any program may write to
    the dead-letter topic. A letter that names no position says nothing about a record.
    """
    found: set[tuple[int, int]] = set()
    if not topic_exists(settings, settings.dead_letter_topic):  # A worker creates the topic.
        return found
    async for batch in read_topic(settings, settings.dead_letter_topic):
        for record in batch:
            headers = decode_headers(record.headers)
            if not was_set_aside(headers, settings.behavior_topic, bundle_id):
                continue
            with contextlib.suppress(KeyError, ValueError):
                if epoch_of(headers) == epoch:
                    found.add((int(headers[PARTITION_HEADER]), int(headers[OFFSET_HEADER])))
    return found


def was_set_aside(headers: Mapping[str, str], behavior_topic: str, bundle_id: str) -> bool:
    """Whether a worker of the bundle rejected a dead letter's record for a reason that the record does not tell.

    headers: the headers of the dead letter. A user may belong to another partition. A schema registry may know a
    schema later. A broken optional field was a reason for earlier versions of the worker, and today's codec would take
    the record for an event. A worker of another bundle may have applied the record, because the worker read the record
    at another time. Earlier versions named no bundle, and their dead letters count for every bundle.
    """
    is_untold = headers.get(FIELD_HEADER) in ("partition", SCHEMA_FIELD, *DROPPABLE_FIELDS)
    is_of_bundle = headers.get(BUNDLE_HEADER, bundle_id) == bundle_id
    return is_untold and is_of_bundle and headers.get(TOPIC_HEADER) == behavior_topic


def _report_rows_without_events(
    recompute: Recompute, start_offsets: Mapping[int, int], stored: dict[str, StoredUser], found: Verification
) -> None:
    """stored: the rows whose users the topic does not contain."""
    for user_id, row in stored.items():
        is_of_earlier_topic = row.offset == NO_OFFSET
        if recompute.lacks_records(user_id):
            found.add_mismatch(f"user {user_id!r} has a stored row from before an erasure")
        elif is_of_earlier_topic or row.offset < start_offsets.get(row.partition, 0):
            found.unverifiable += 1
        else:
            found.add_mismatch(f"user {user_id!r} has a stored row and no applied event in the topic")
