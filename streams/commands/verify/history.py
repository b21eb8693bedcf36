"""The records of the behaviour topic and what each of them is, also those that only an archive still holds.

Up to the offset at which the archive of a partition ends, the archive's copy is read, also where the topic still has
the records. From this offset on, the topic is read.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from streams.broker.clients import open_consumer
from streams.broker.topic_reader import POLL_RECORDS, read_partition
from streams.broker.topics import Topic
from streams.config.errors import InputError
from streams.config.settings import Settings
from streams.engine.codec import Outcome, RecordDecoder

if TYPE_CHECKING:
    from streams.archive.reader import ArchiveReader

Decoded = tuple[
    int, list[Any], list[Outcome]
]  # partition, records with `.offset` and `.timestamp`, what each of them is


def open_history(
    settings: Settings, topic: Topic, decoder: RecordDecoder, archive: "ArchiveReader | None", log_id: str | None
) -> "History":
    """The history of a topic.

    log_id: of the log with which the rows begin, None where they begin with the topic. The topic may hold records from
    before the archive's copy, which the log stands for, so such rows cannot be recomputed without the archive. The log
    of an archive is left out where the rows begin without one. Raises InputError where the archive belongs to another
    topic or another decoder, and where the rows begin with another log, or with a log and there is no archive.
    """
    if log_id is not None and (archive is None or archive.description.log is None):
        raise InputError(
            "the rows of the bundle begin with the events of a log: name the archive of the bundle's backfill with "
            "--archive"
        )
    if archive is not None:
        archive.check(topic.name, topic.topic_id, decoder.name)
        for partition, stable in topic.stable_offsets.items():
            archive.check_end(partition, stable)
        if log_id is not None and archive.description.log is not None and archive.description.log.id != log_id:
            raise InputError(
                f"archive {archive.files.address} begins with another log than the rows of the bundle: name the "
                "archive of the bundle's backfill"
            )
    return History(settings, topic, decoder, archive, log_id is not None)


class History:
    """The history of one topic incarnation, up to the topic's present end."""

    def __init__(
        self,
        settings: Settings,
        topic: Topic,
        decoder: RecordDecoder,
        archive: "ArchiveReader | None" = None,
        has_log: bool = False,
    ) -> None:
        """has_log: the history begins with the log of the archive."""
        self._settings = settings
        self._topic = topic
        self._decoder = decoder
        self._archive = archive
        self._has_log = has_log
        self._starts = self.starts(topic)

    def starts(self, topic: Topic) -> dict[int, int]:
        """By partition, the offset from which the history has every record.

        topic: as it is now. An archive that ends before the first record of the topic does not reach the topic, so the
        history begins with the topic.
        """
        found = dict(topic.start_offsets)
        for partition, start in topic.start_offsets.items():
            end = self._archived_end(partition)
            if self._archive is not None and end is not None and start <= end:
                found[partition] = min(start, self._complete_from(self._archive, partition))
        return found

    def _complete_from(self, archive: "ArchiveReader", partition: int) -> int:
        first = archive.complete_from(partition) or 0
        return first if self._has_log else max(first, archive.log_end(partition) or 0)

    @property
    def gaps(self) -> list[str]:
        """The partitions in which the archive does not reach the topic, in words."""
        starts = self._topic.start_offsets
        ends = {partition: self._archived_end(partition) for partition in starts}
        return [
            f"partition {partition}: the archive ends before offset {end}, and the topic begins at offset "
            f"{starts[partition]}"
            for partition, end in ends.items()
            if end is not None and end < starts[partition]
        ]

    async def read(self) -> AsyncIterator[Decoded]:
        """All records, partition after partition, in order. Raises BrokerError and ArchiveError."""
        topic, failure = self._topic, f"topic {self._topic.name} at {self._settings.broker} could not be read"
        async with AsyncExitStack() as opened:
            consumer = None
            for partition, end in topic.stable_offsets.items():
                start = self._starts[partition]
                joint = max(start, self._archived_end(partition) or 0)
                for records, outcomes in self._archived(partition, start, joint - 1):
                    yield partition, records, outcomes
                if consumer is None and joint < end:
                    consumer = await opened.enter_async_context(
                        open_consumer(self._settings, failure, max_poll_records=POLL_RECORDS)
                    )
                async for batch in read_partition(consumer, topic.name, partition, joint, end):
                    yield partition, batch, self._decoder.decode_batch(batch)

    def _archived_end(self, partition: int) -> int | None:
        """Where the archive of a partition ends, None where the archive is not used.

        Rows without a log: a topic that still has the records that the log stands for is read instead of the archive.
        """
        archive, start = self._archive, self._topic.start_offsets[partition]
        if archive is None or (not self._has_log and start < (archive.log_end(partition) or 0)):
            return None
        return archive.end(partition)

    def _archived(self, partition: int, first: int, last: int) -> Any:
        if self._archive is None or first > last:
            return
        from streams.archive.columns import to_outcomes

        for batch in self._archive.read(partition, first, last, rows=POLL_RECORDS):
            yield to_outcomes(batch)
