"""What a mapping makes of records, counted record after record. Pure."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from encoder.data.contract.incoming_event import IncomingEvent
from encoder.data.contract.rejection import Rejection
from encoder.data.mapping import Mapping, Skipped, SourceRecord
from encoder.data.mapping.proposals import Reading, Usage, judge_record
from streams.commands.map.sample import Sample


class UserPartitions:
    """In which partitions the records of each user stand. Takes about 200 bytes for each user."""

    def __init__(self) -> None:
        self.records = 0  # with events
        self.with_other_key = 0  # records whose key is not their user
        self._records: dict[int, Counter[str]] = {}  # partition -> user -> records

    def add(self, user_id: str, key: bytes | None, partition: int) -> None:
        """Count a record with events."""
        self.records += 1
        self.with_other_key += key != user_id.encode()
        self._records.setdefault(partition, Counter())[user_id] += 1

    def of_users(self) -> "UserCounts":
        """The counts of users and of their records."""
        partitions = Counter(user for users in self._records.values() for user in users)
        scattered = {user for user, count in partitions.items() if count > 1}
        of_scattered, most = Counter[str](), Counter[str]()  # user -> records, records in the user's fullest partition
        several = set(scattered)
        for users in self._records.values():
            several.update(user for user, count in users.items() if count > 1)
            for user in scattered & users.keys():
                of_scattered[user] += users[user]
                most[user] = max(most[user], users[user])
        records = of_scattered.total()
        return UserCounts(len(partitions), len(several), len(scattered), records, records - most.total())


class UserCounts(NamedTuple):
    """Users by the partitions of their records."""

    users: int
    with_several_records: int
    scattered: int  # users whose records stand in several partitions
    records_of_scattered: int
    outside: int  # records that do not stand in the partition with most records of their user


class Counts:
    """The records by outcome, the parts of the mapping that found nothing, and the partitions of users."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self.reading = Reading()
        self.usage = Usage(mapping)
        self.partitions = UserPartitions()

    def add(self, record: SourceRecord | Rejection, partition: int | None = None) -> tuple[IncomingEvent, ...]:
        """The events of a record, which is counted. partition: None for a record of a file."""
        judged = judge_record(self._mapping, record, self.reading)
        self.usage.add(record, judged)
        if isinstance(judged, Skipped | Rejection):
            return ()
        if partition is not None and isinstance(record, SourceRecord):
            self.partitions.add(judged[0].user_id, record.key, partition)
        return judged


def count_sample(mapping: Mapping, sample: Sample, shown: int) -> Counts:
    """Count the records of a sample. shown: how many events to keep."""
    counts = Counts(mapping)
    partitions: Iterable[int | None] = sample.partitions or [None] * len(sample.records)
    for record, partition in zip(sample.records, partitions, strict=True):
        events = counts.add(record, partition)
        counts.reading.first_events += events[: shown - len(counts.reading.first_events)]
    return counts
