"""Searches the topics for the records of one user."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from encoder.data.events import BehaviorEvent
from streams.broker.clients import open_consumer
from streams.broker.decoding.pseudonym_key import open_pseudonyms
from streams.broker.decoding.record_decoder import open_decoder
from streams.broker.decoding.update_reader import UpdateReader
from streams.broker.topic_reader import POLL_RECORDS, read_partition
from streams.broker.topics import Topic, describe_topic, topic_exists
from streams.commands.dead_letters.letter_users import LetterUsers
from streams.commands.dead_letters.markers import is_marker
from streams.commands.dead_letters.originals import Originals
from streams.commands.subject.report import HeldRecord, LookedAt, NotLookedAt, SubjectReport, held_record
from streams.config.errors import RegistryError, ThalwegError
from streams.config.settings import Settings
from streams.contracts.dead_letters import ERASED_HEADER, decode_headers, user_hash
from streams.engine.codec import Outcome, RecordDecoder, Rejected, Several, WithoutUser

Match = Callable[[Sequence[Any]], Awaitable[Iterable[HeldRecord]]]


class TopicSearch:
    """Looks for one user in the topics, and enters what it finds into a report. Every method blocks."""

    def __init__(self, settings: Settings, report: SubjectReport) -> None:
        self._settings = settings
        self._key, self._stored_key = report.user_id.encode(), report.stored_id.encode()
        self._report = report

    def search(self, partitions: Collection[int] | None) -> None:
        """Read all topics that name users. A topic that cannot be read is entered as not looked at.

        partitions: those of the behaviour topic, of evaluation events and of updates that can hold the user's records.
        None: all of them. Dead letters and predictions are searched in all partitions, because a record in a wrong
        partition becomes a dead letter, and other systems write predictions.
        """
        settings, report = self._settings, self._report
        updates = UpdateReader(settings)
        self._search(settings.behavior_topic, partitions, report.events, self._behavior_match)
        self._search(settings.evaluation_topic, partitions, report.evaluations, lambda: self._by_key("evaluation"))
        for topic in report.updates_topics:
            self._search(topic, partitions, report.updates, lambda: self._update_match(updates))
        self._search(settings.predictions_topic, None, report.predictions, lambda: self._by_key("prediction"))
        self._search(settings.dead_letter_topic, None, report.dead_letters, self._letter_match)

    def _search(
        self, topic: str, partitions: Collection[int] | None, found: list[HeldRecord], match: Callable[[], Match]
    ) -> None:
        try:
            if self._sees_all_topics() and not topic_exists(self._settings, topic):
                self._report.looked_at.append(LookedAt(f"topic {topic}, which does not exist", 0))
                return
            asyncio.run(self._read(topic, partitions, found, match()))
        except ThalwegError as error:
            self._report.not_looked_at.append(NotLookedAt(f"topic {topic}", "failed", str(error)))

    def _sees_all_topics(self) -> bool:
        """A broker hides a topic from a client that lacks the right to describe the topic."""
        return not (self._settings.mechanism or self._settings.broker_ca)

    async def _read(self, name: str, partitions: Collection[int] | None, found: list[HeldRecord], match: Match) -> None:
        topic = await asyncio.to_thread(describe_topic, self._settings, name)
        chosen = (
            range(topic.partitions) if partitions is None else sorted(p for p in partitions if p < topic.partitions)
        )
        ranges = {p: (topic.start_offsets[p], topic.stable_offsets[p]) for p in chosen}
        if any(start < end for start, end in ranges.values()):  # else the stop of the consumer fails, see read_topic
            failure = f"topic {name} at {self._settings.broker} could not be read"
            async with open_consumer(self._settings, failure, max_poll_records=POLL_RECORDS) as consumer:
                for partition, (start, end) in ranges.items():
                    before = len(found)
                    async for records in read_partition(consumer, name, partition, start, end):
                        found += await match(records)
                    place = f"topic {name} partition {partition} offsets {start} to {end}"
                    self._report.looked_at.append(LookedAt(place, len(found) - before))
        self._report.not_looked_at += _not_read(topic, ranges)

    def _by_key(self, kind: str) -> Match:
        async def match(records: Sequence[Any]) -> Iterable[HeldRecord]:
            return [held_record(one, kind) for one in records if one.key in (self._key, self._stored_key)]

        return match

    def _behavior_match(self) -> Match:
        """The records whose key is the user, and those that a mapping reads as the user's."""
        decoder = open_decoder(self._settings)

        async def match(records: Sequence[Any]) -> Iterable[HeldRecord]:
            return await asyncio.to_thread(self._behavior_records, decoder, records)

        return match

    def _behavior_records(self, decoder: RecordDecoder, records: Sequence[Any]) -> list[HeldRecord]:
        if decoder.keys_name_users:
            records = [one for one in records if one.key == self._key]
        pairs = zip(records, decoder.decode_batch(records), strict=True)
        return [held_record(*_kind(record, outcome)) for record, outcome in pairs if self._is_of_user(record, outcome)]

    def _is_of_user(self, record: Any, outcome: Outcome) -> bool:
        if isinstance(outcome, WithoutUser):
            return bool(record.key == self._key)
        return outcome.user_id == self._report.stored_id

    def _update_match(self, reader: UpdateReader) -> Match:
        async def match(records: Sequence[Any]) -> Iterable[HeldRecord]:
            mine = [one for one in records if self._stored_key in (one.key, (one.key or b"").partition(b"/")[2])]
            return [await asyncio.to_thread(_update, one, reader) for one in mine]

        return match

    def _letter_match(self) -> Match:
        users, marker = LetterUsers(self._settings), user_hash(self._stored_key)
        originals = Originals(open_pseudonyms(self._settings))

        async def match(batch: Sequence[Any]) -> Iterable[HeldRecord]:
            records = [originals.read(record) for record in batch]
            await asyncio.to_thread(users.prepare, records)
            return await asyncio.to_thread(lambda: list(self._letters(records, users, marker)))

        return match

    def _letters(self, records: Sequence[Any], users: LetterUsers, marker: str) -> Iterable[HeldRecord]:
        for record in records:
            headers = decode_headers(record.headers)
            if is_marker(headers):
                if headers.get(ERASED_HEADER) == marker:
                    yield held_record(record, "erasure marker")
            elif record.key == self._stored_key or self._key in users.of(record):
                is_key = record.key in (self._key, self._stored_key)
                yield held_record(record, "dead letter", certain=is_key, topic=self._settings.dead_letter_topic)


def _not_read(topic: Topic, ranges: Mapping[int, tuple[int, int]]) -> Iterator[NotLookedAt]:
    """What a search of these offsets leaves out. ranges: the first offset and the end, by partition."""
    others = [partition for partition in range(topic.partitions) if partition not in ranges]
    if others:
        reason = "the rule of the producers puts no record of the user there; --all-partitions reads them too"
        yield NotLookedAt(f"topic {topic.name} partitions {', '.join(map(str, others))}", "unlikely", reason)
    for partition, (start, end) in ranges.items():
        place, last = f"topic {topic.name} partition {partition} offsets", topic.end_offsets[partition]
        if start:
            yield NotLookedAt(f"{place} 0 to {start}", "deleted", "retention has deleted these records")
        if end < last:
            yield NotLookedAt(f"{place} {end} to {last}", "open", "a transaction is still open; run the command again")


def _kind(record: Any, outcome: Outcome) -> tuple[Any, str, Any]:
    """The record, its kind, and its events as Thalweg reads them."""
    if isinstance(outcome, Rejected | WithoutUser):
        return record, "rejected" if isinstance(outcome, Rejected) else "skipped", msgspec.to_builtins(outcome)
    if isinstance(outcome, Several):
        return record, "event", [msgspec.to_builtins(event) for event in outcome.events]
    if isinstance(outcome, BehaviorEvent):
        return record, "event", [msgspec.to_builtins(outcome)]
    return record, "erasure", None


def _update(record: Any, reader: UpdateReader) -> HeldRecord:
    if record.value is None:
        return held_record(record, "tombstone")
    try:
        return held_record(record, "update", msgspec.to_builtins(reader.decode(record.value)))
    except (ValueError, RegistryError):
        return held_record(record, "update")
