"""The order of a backfill: what is checked, what is stepped before the topic's next epoch, and what is measured."""

import asyncio
import contextlib
import resource
import sys
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError

from encoder.wording import counted
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from streams.archive.reader import ArchiveReader
from streams.broker.decoding.noise_key import open_update_noise
from streams.broker.decoding.pseudonym_key import open_hiding
from streams.broker.decoding.record_decoder import open_decoder
from streams.broker.decoding.registration import open_update_encoder
from streams.broker.offsets.group_offsets import GroupOffsets, count_members
from streams.broker.publisher import Publisher
from streams.broker.topics import Topic, describe_topic, ensure_topics
from streams.commands.backfill.backfill import Backfill
from streams.commands.backfill.plan import (
    Covered,
    check_beginning,
    check_from_beginning,
    check_hand_over,
    check_log,
    check_log_order,
    check_positions,
    check_reach,
    covered_by,
    passed_offsets,
    stage,
)
from streams.commands.backfill.progress import Progress
from streams.commands.backfill.row_writer import RowWriter
from streams.commands.backfill.users import Users
from streams.config.errors import InputError, SettingsError, StoreError
from streams.config.settings import Settings
from streams.engine.arena import Arena
from streams.engine.epochs import EpochView
from streams.engine.outputs import OutputEncoder
from streams.health.rights.check import check_broker_rights, check_store_rights
from streams.store.cql_schema import HIGHEST_GENERATION
from streams.store.items.registration import Registration
from streams.store.store import Store, open_store

if TYPE_CHECKING:
    from streams.commands.backfill.spark.groups import Result


def backfill(settings: Settings, bundle: Bundle, archive: str, threads: int, spark: str | None = None) -> Progress:
    """Step the history of an archive into the bundle's rows, and commit where the history ends.

    archive: its address. threads: that step. spark: the master of Spark that steps instead of this process. Raises
    InputError, SettingsError, RightsError, ArchiveError, BrokerError, StoreError, SparkError.
    """
    start_s, progress = time.monotonic(), Progress()
    group_id = settings.consumer_group_id(bundle.bundle_id)
    decoder, hiding, noise = open_decoder(settings), open_hiding(settings), open_update_noise(settings, bundle)
    reader = ArchiveReader.open(archive)
    check_broker_rights(settings, "backfill", bundle.bundle_id)
    topic = describe_topic(settings, settings.behavior_topic, group_id)
    if members := count_members(settings, group_id):
        running = counted(members, f"worker of group {group_id} is", f"workers of group {group_id} are")
        raise SettingsError(f"{running} running: stop all of them before a backfill")
    reader.check(topic.name, topic.topic_id, decoder.name)
    for partition, stable in topic.stable_offsets.items():
        reader.check_end(partition, stable)
    covered, progress.gaps = covered_by(reader), _gaps(reader)
    check_hand_over(topic, covered, archive)
    store = open_store(settings, bundle)
    try:
        check_store_rights(settings, store.session, "backfill", [bundle])
        _check_log(store, topic, bundle.bundle_id, reader)
        known = asyncio.run(store.positions.load(topic.topic_id))
        check_positions(topic, known, archive, group_id)
        check_beginning(
            topic, covered, store.registry.backfilled(bundle.bundle_id, topic.partitions), archive, group_id
        )
        settings = store.registry.settings_of(settings, bundle.bundle_id)
        check_broker_rights(settings, "backfill", bundle.bundle_id)  # on the updates topic of this bundle
        ensure_topics(settings)
        store.registry.claim(topic.name, None if hiding is None else hiding.pseudonyms.fingerprint)
        store.registry.claim_updates(settings.updates_topic, None if noise is None else noise.fingerprint)
        store.registry.announce(bundle, settings.updates_topic)
        if (log := reader.description.log) is not None:
            store.registry.enter_log(bundle.bundle_id, log.id)
        store.registry.use_mapping(bundle.bundle_id, decoder.name)
        run = _Run(settings, bundle, store, topic, progress)
        steps = run.step(reader, covered, threads) if spark is None else run.step_on_spark(reader, covered, spark)
        asyncio.run(run.run(steps, covered, archive))
    finally:
        store.close()
    progress.elapsed_s = round(time.monotonic() - start_s, 3)
    progress.events_per_s = round(progress.events / progress.elapsed_s, 1)
    progress.peak_mb = round(_peak_mb(), 1)
    return progress


class _Run:
    """The stages of a backfill: one for each epoch of the topic."""

    def __init__(self, settings: Settings, bundle: Bundle, store: Store, topic: Topic, progress: Progress) -> None:
        manifest = bundle.manifest
        self._settings = settings
        self._bundle = bundle
        self._progress = progress
        self._store = store
        self._topic = topic
        self._position = dict(topic.committed)  # by partition, everything before it is stored and committed
        self._group_id = group_id = settings.consumer_group_id(bundle.bundle_id)
        self._offsets = GroupOffsets(settings, group_id, topic.name, topic.topic_id)
        self._publisher = Publisher(settings, group_id)
        self._registration = Registration(
            store.items, store.registry, bundle.bundle_id, manifest.items, lambda _: True, "backfill"
        )
        self._encoder = OutputEncoder(
            topic.name,
            bundle.bundle_id,
            manifest.items,
            manifest.recent_places,
            settings.evaluation_share,
            manifest.bought_places,
            open_update_encoder(settings),
            open_hiding(settings),
            open_update_noise(settings, bundle),
        )
        self._writer = RowWriter(
            store.users, self._publisher, self._encoder, _generation(), progress, self._check_serves
        )

    async def run(self, steps: Coroutine[Any, Any, EpochView], covered: Mapping[int, Covered], address: str) -> None:
        """Step everything that the archive covers.

        steps: of `step` or `step_on_spark`. address: of the archive. Raises InputError where an added partition has to
        be held back, and where retention has deleted records behind the archive meanwhile.
        """
        topic = self._topic
        asyncio.get_running_loop().set_exception_handler(_report_fault)
        try:
            with contextlib.closing(steps):
                await self._publisher.start()
                await self._publisher.own(range(topic.partitions))  # fences another backfill of the group
                view = await steps
            if view.held:
                raise InputError(
                    f"partitions {sorted(view.held)} of {topic.name} were added and may not be read yet; everything "
                    "else is stored, so start the workers of the bundle"
                )
            await asyncio.to_thread(self._check_reach, covered, address)
            await asyncio.to_thread(self._store.registry.end_backfill, self._bundle.bundle_id)
            await self._registration.run()
        finally:
            self._offsets.close()
            await self._publisher.stop()

    def _check_reach(self, covered: Mapping[int, Covered], address: str) -> None:
        """Raises InputError where retention has passed the end of the archive meanwhile."""
        topic = describe_topic(self._settings, self._topic.name, self._group_id)
        check_reach(topic, covered, address)

    async def step(self, reader: ArchiveReader, covered: Mapping[int, Covered], threads: int) -> EpochView:
        """Step one epoch after the other in this process, and return the last one."""
        topic, bundle, manifest = self._topic, self._bundle, self._bundle.manifest
        arena = Arena(self._settings.arena_max_users, manifest.state_width, manifest.representation_width)
        users = Users(arena, self._writer, _is_fresh(self._store))
        stepper = Stepper(bundle, on_cpu=True)
        backfill = Backfill(
            bundle, stepper, users, topic.name, self._commit, threads, self._progress, self._settings.user_ttl_ms
        )
        with contextlib.closing(backfill):
            while True:
                view = await asyncio.to_thread(self._view, covered, self._position)
                self._use(view)
                await self._store.erasures.load(range(topic.partitions), view.comparable)
                await self._store.erasures.drop_passed(self._position)
                stages = stage(topic.partitions, covered, self._position, view)
                if not stages:
                    return view
                for partition, offsets in stages.items():
                    await backfill.run(reader, partition, offsets)
                await backfill.finish()
                if view.held:
                    backfill.begin_epoch()

    async def step_on_spark(self, reader: ArchiveReader, covered: Mapping[int, Covered], master: str) -> EpochView:
        """Step all epochs on Spark, write what they give one after the other, and commit the end of the archive.

        Returns the last epoch. A run that is killed before the commit is begun anew.
        """
        from streams.commands.backfill.spark.job import SparkJob  # loads pyspark, which is an extra

        topic = self._topic
        views, stages, end = await asyncio.to_thread(self._all_stages, covered)
        if not stages:
            return views[-1]
        has_rows = not await asyncio.to_thread(_is_fresh, self._store)
        check_from_beginning(topic, covered, views[-1], has_rows, reader.files.address)
        await self._store.erasures.load(range(topic.partitions), views[-1].comparable)
        await self._store.erasures.drop_passed(self._position)
        starting = asyncio.to_thread(SparkJob, master, self._bundle, self._settings.user_ttl_ms)
        with contextlib.closing(await starting) as job:
            await asyncio.to_thread(job.step, reader, topic.name, stages)
            for number in range(len(stages)):
                self._use(views[number])
                results = job.results(number)
                while (result := await asyncio.to_thread(next, results, None)) is not None:
                    await self._write(result)
        await self._commit(end)
        self._progress.commits += 1
        return views[-1]

    def _all_stages(
        self, covered: Mapping[int, Covered]
    ) -> tuple[list[EpochView], list[dict[int, Covered]], dict[int, int]]:
        """The epochs, what to step in each of them but for the last, and where the partitions end afterwards."""
        position = dict(self._position)
        views: list[EpochView] = []
        stages: list[dict[int, Covered]] = []
        while True:
            views.append(self._view(covered, position))
            found = stage(self._topic.partitions, covered, position, views[-1])
            if not found:
                return views, stages, {p: position[p] for of_stage in stages for p in of_stage}
            stages.append(found)
            position |= {partition: offsets.end for partition, offsets in found.items()}

    async def _write(self, result: "Result") -> None:
        """Write what a stage does to some users. Their erasures come before the rows that follow."""
        self._progress.add(result.counts)
        if result.rejected:
            await self._writer.reject(result.rejected)
        if result.erased:
            await self._writer.erase(result.erased)
        if len(result.rows):
            rows = (result.rows, result.state, result.representation)
            await self._writer.store(*rows)
            await self._writer.update(*rows)

    def _view(self, covered: Mapping[int, Covered], position: Mapping[int, int]) -> EpochView:
        """The epoch when everything before this position is stepped."""
        topic = self._topic
        passed = passed_offsets(topic, covered, position)
        view = self._store.registry.view(topic.name, topic.topic_id, topic.partitions, passed)
        check_log_order(view, covered)
        return view

    def _use(self, view: EpochView) -> None:
        """Name this epoch in rows and outputs from now on."""
        self._store.users.use_epoch(view)
        self._encoder.use_epoch(view)

    async def _check_serves(self) -> None:
        """Raises SettingsError where the retirement of the bundle has begun.

        A backfill is no member of the group, so `thalweg retire` does not see that it runs.
        """
        try:
            await asyncio.to_thread(self._store.registry.check_serves, self._bundle.bundle_id)
        except SettingsError as error:
            raise SettingsError(
                f"{error}. The backfill has stopped: run `thalweg retire` again, which deletes what was written last"
            ) from error

    async def _commit(self, offsets: Mapping[int, int]) -> None:
        """Commit what Kafka can commit. A run that is killed within a log begins the log of the partition again."""
        offsets = {partition: offset for partition, offset in offsets.items() if offset >= 0}
        if not offsets:
            return
        await self._check_serves()
        registry, bundle_id = self._store.registry, self._bundle.bundle_id
        for partition in offsets.keys() - self._position.keys():  # A commit alone does not say how the group began.
            await asyncio.to_thread(registry.enter_backfilled, bundle_id, partition)
        await self._store.positions.advance(self._topic.topic_id, offsets, time.time())
        await asyncio.to_thread(self._offsets.commit, offsets)
        self._position.update(offsets)
        await self._store.erasures.drop_passed(self._position)


def _check_log(store: Store, topic: Topic, bundle_id: str, reader: ArchiveReader) -> None:
    """Raises what `check_log` raises."""
    record, log = store.registry.records().get(bundle_id), reader.description.log
    known, archived = None if record is None else record.log_id, None if log is None else log.id
    has_rows = record is not None and known != archived and not _is_fresh(store)
    check_log(topic, known, archived, has_rows, reader.files.address)


def _report_fault(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Leave out errors of Kafka that nobody awaits. The first one is raised, and every record of a batch has one."""
    if not isinstance(context.get("exception"), KafkaError):
        loop.default_exception_handler(context)


def _gaps(reader: ArchiveReader) -> list[str]:
    """The partitions whose first records the archive lacks, or has before a gap, in words."""
    return [
        f"partition {partition}: the archive lacks records before offset {first}, so the history begins there; the "
        "state of a user with earlier events begins there too"
        for partition in reader.partitions
        if (first := reader.complete_from(partition) or 0) > 0
    ]


def _is_fresh(store: Store) -> bool:
    """True where the bundle has no row for certain."""
    with contextlib.suppress(StoreError):  # The scan is too slow where other bundles have very many rows.
        return not store.users.has_rows()
    return False


def _generation() -> int:
    """Stands for the generation of the group in write timestamps.

    Two runs that write the same position have different numbers, so Cassandra takes all cells of a row from one run.
    """
    return int(time.time()) & HIGHEST_GENERATION


def _peak_mb() -> float:
    """The most resident memory of this process so far.

    Linux: `ru_maxrss` would count what the parent had when it started this process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
