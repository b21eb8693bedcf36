"""Copies the behaviour topic to an archive.

Each offset of a partition is covered by one segment. A run begins behind the archive's last segment, and reads up to
the partition's last stable offset at the beginning of the run. Only committed records get rows. The archive alone says
how far a partition is copied, so there is no consumer group whose offsets could differ.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import closing

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from streams.archive.files import ArchiveFiles
from streams.archive.layout import FORMAT, Description, Segment, Span
from streams.archive.reader import ArchiveReader
from streams.archive.writer import SegmentWriter, delete_leftovers, first_claims, open_archive
from streams.broker.clients import open_consumer
from streams.broker.topic_reader import POLL_RECORDS, read_positions
from streams.broker.topics import Topic, TopicIdReader, describe_topic
from streams.commands.archive.log.log_events import LogCounts
from streams.config.errors import InputError
from streams.config.settings import Settings
from streams.engine.codec import RecordDecoder

logger = logging.getLogger(__name__)

FETCH_BYTES = 4 * 1024 * 1024  # of a partition in one answer of a broker


class Archived(msgspec.Struct, kw_only=True):
    """What one run has written, and how far the archive goes afterwards.

    records: those with a row. rows: one for each event, and one for each other record. deleted: offsets that retention
    had deleted before they were archived. positions: by partition, the offset that comes next. log: of a run that has
    begun the archive with a log.
    """

    records: int = 0
    rows: int = 0
    segments: int = 0
    files: int = 0
    bytes: int = 0
    deleted: int = 0
    positions: dict[int, int] = {}
    log: LogCounts | None = None

    def add(self, segment: Segment, records: int) -> None:
        """Count a segment that was written."""
        self.records += records
        self.segments += 1
        self.files += len(segment.files)
        self.rows += sum(file.rows for file in segment.files)
        self.bytes += sum(file.bytes for file in segment.files)


class Archiving:
    """One run of `thalweg archive`. `archived` grows with each segment."""

    def __init__(self, settings: Settings, files: ArchiveFiles, decoder: RecordDecoder, accept_gaps: bool) -> None:
        """accept_gaps: go on where retention has deleted records before they were archived."""
        self._settings = settings
        self._files = files
        self._decoder = decoder
        self._accept_gaps = accept_gaps
        self._name = settings.behavior_topic
        self._ids = TopicIdReader(settings, self._name)
        self.archived = Archived()
        self.read = self.total = 0

    def run(self, tell: Callable[[], None] = lambda: None) -> None:
        """Copy all partitions up to their present end.

        tell: called as records are read, when `read` of `total` offsets of this run are read.
        Raises InputError where the archive belongs to another topic or decoder, where another process changes it, and
        where records are gone that the archive lacks. Raises ArchiveError and BrokerError.
        """
        with self._files.lock():
            topic = describe_topic(self._settings, self._name)
            description = Description(
                format=FORMAT, topic=topic.name, topic_id=str(topic.topic_id), decoder=self._decoder.name
            )
            archive = open_archive(self._files, description)
            # A run that was killed right behind a commit has left the files of an earlier kill.
            delete_leftovers(
                self._files, {(partition, archive.spans(partition)[-1]) for partition in archive.partitions}
            )
            claims = first_claims(self._files)
            begins = {
                partition: self._begin(archive, topic, partition, claims.get(partition))
                for partition in range(topic.partitions)
            }
            self.archived.positions = begins
            with closing(self._ids):
                asyncio.run(self._copy(topic, dict(begins), tell))

    def _begin(self, archive: ArchiveReader, topic: Topic, partition: int, claim: int | None) -> int:
        """The next offset to archive. A new archive begins with the first record that is left in the topic.

        claim: where the first segment of the partition begins, if that is decided.
        """
        end, start = archive.end(partition), topic.start_offsets[partition]
        if end is None:
            end = claim
        if end is None:
            return start
        archive.check_end(partition, topic.stable_offsets[partition])
        if start > end:
            self._check_gap(partition, Span(end, start - 1))
        return end

    def _check_gap(self, partition: int, gap: Span) -> str:
        """What is missing, in words. Raises InputError unless the user accepts gaps."""
        text = (
            f"retention has deleted the records of {self._name} partition {partition} from offset {gap.first} to "
            f"{gap.last} before they were archived"
        )
        if not self._accept_gaps:
            raise InputError(
                f"{text}: with --accept-gaps the archive notes the gap and goes on, and users with events before the "
                "gap cannot be recomputed from the archive"
            )
        return text

    async def _copy(self, topic: Topic, begins: dict[int, int], tell: Callable[[], None]) -> None:
        ends = topic.stable_offsets
        self.total = sum(ends[partition] - begin for partition, begin in begins.items())
        if not self.total:
            return  # A stop of the consumer right after an assignment would never return (aiokafka 0.14.0).
        failure = f"topic {self._name} at {self._settings.broker} could not be archived"
        async with open_consumer(
            self._settings,
            failure,
            auto_offset_reset="none",
            max_poll_records=POLL_RECORDS,
            max_partition_fetch_bytes=FETCH_BYTES,
        ) as consumer:
            for partition, begin in begins.items():
                while begin < ends[partition]:
                    segment = SegmentWriter(self._files, self._name, partition, begin)
                    if segment.claimed is not None and segment.claimed >= ends[partition]:
                        await asyncio.to_thread(self._check_claim, partition, segment.claimed)
                    begin = await self._fill(consumer, segment, Span(begin, ends[partition] - 1), tell)
                    await asyncio.to_thread(self._commit, topic, segment, begin - 1)
                    self.archived.positions[partition] = begin

    def _check_claim(self, partition: int, claimed: int) -> None:
        """Raises InputError where the topic does not reach the last offset of a claim, for which a run would wait.

        In a bucket, another run may have made the claim behind the ends that this run knows.
        """
        stable = describe_topic(self._settings, self._name).stable_offsets[partition]
        if claimed >= stable:
            raise InputError(
                f"an earlier run has read {self._name} partition {partition} up to offset {claimed} for archive "
                f"{self._files.address}, and the partition ends before offset {stable}: the partition was cut, so name "
                "another archive"
            )

    async def _fill(
        self, consumer: AIOKafkaConsumer, segment: SegmentWriter, span: Span, tell: Callable[[], None]
    ) -> int:
        """Read records into a segment. span: what is left of the partition. Returns the offset behind the segment."""
        at, end = span.first, (span.last if segment.claimed is None else segment.claimed) + 1
        tp = TopicPartition(self._name, segment.partition)
        while at < end:
            start = (await consumer.beginning_offsets([tp]))[tp]
            if at < start:
                gap = Span(at, min(start, end) - 1)
                logger.warning(self._check_gap(segment.partition, gap))
                segment.add_gap(gap)
                self.archived.deleted += gap.last + 1 - at
                self.read += gap.last + 1 - at
                at = gap.last + 1
            try:
                async for position, records in read_positions(consumer, self._name, segment.partition, at, end):
                    segment.add(records, self._decoder.decode_batch(records))
                    self.read += position - at
                    at = position
                    tell()
                    if segment.claimed is None and segment.is_full:
                        return at
            except OffsetOutOfRangeError as error:
                if (await consumer.beginning_offsets([tp]))[tp] <= at:
                    raise InputError(
                        f"{self._name} partition {segment.partition} ends before offset {at}, which comes next: the "
                        "partition was cut, so name another archive"
                    ) from error
        return at

    def _commit(self, topic: Topic, segment: SegmentWriter, last: int) -> None:
        """Write a segment. Offsets name other records in a topic that was deleted and made again meanwhile."""
        if self._ids.read() != topic.topic_id:
            raise InputError(
                f"topic {self._name} was deleted and made again while this command read the topic; name another archive"
            )
        self.archived.add(segment.commit(last), segment.records)
