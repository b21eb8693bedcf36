"""Sends the originals of dead letters to the behaviour topic again, and marks the letters as resent.

By the event contract, a record is its key and its value, and the rule of the producers chooses the partition of the
key. By a mapping, headers and timestamp may be parts of the event, and only the record's producer knows the partition.
Such a record goes to its old partition with its headers and its timestamp. A record whose time was rejected gets a new
timestamp, because the old one would be rejected again.

A marker is a record of the dead-letter topic with the header RESENT_HEADER. It stands in the partition of its letters
and lists their offsets. It is written after the broker has confirmed the records. A letter that a marker names is not
shown and not sent again. A crash between the records and the marker makes the next resend repeat the records; a worker
then recognises an event whose event_id is among the last ones of the user.
"""

import asyncio
from typing import NamedTuple

from encoder.wording import counted
from streams.broker.clients import open_producer
from streams.broker.partitioners.choice import choose_partitioner
from streams.commands.dead_letters.contents import matching_letters
from streams.commands.dead_letters.letter import Letter
from streams.commands.replay.producer import Replay
from streams.config.settings import Settings
from streams.contracts.dead_letters import RESENT_HEADER

OFFSETS_PER_MARKER = 1000
RECORDS_IN_FLIGHT = 1000
TIME_FIELD = "event_time_ms"


class ResendResult(NamedTuple):
    """The number of records sent, the letters that are not whole, and the number of letters of erased users."""

    sent: int
    not_whole: list[Letter]
    erased: int


def resend(settings: Settings, reason: str = "") -> ResendResult:
    """Send the originals of the letters whose reason contains `reason`. Raises BrokerError."""
    letters, erased = asyncio.run(matching_letters(settings, reason))
    whole = [letter for letter in letters if letter.whole]
    if whole:
        if settings.mapping is None:
            partitioner = choose_partitioner(settings, settings.behavior_topic)
            replay = Replay(settings, settings.behavior_topic, partitioner=partitioner)
            replay.run((letter.key, letter.value) for letter in whole)
        else:
            asyncio.run(_send_as_they_were(settings, whole))
        asyncio.run(_write_markers(settings, whole))
    return ResendResult(len(whole), [letter for letter in letters if not letter.whole], erased)


async def _send_as_they_were(settings: Settings, letters: list[Letter]) -> None:
    topic = settings.behavior_topic
    async with open_producer(settings, f"topic {topic} did not confirm all of {len(letters)} records") as producer:
        for start in range(0, len(letters), RECORDS_IN_FLIGHT):
            answers = [
                await producer.send(
                    topic,
                    value=letter.value,
                    key=letter.key,
                    partition=letter.position.partition if letter.position.partition >= 0 else None,
                    timestamp_ms=None if letter.field == TIME_FIELD else letter.position.timestamp_ms,
                    headers=letter.headers,
                )
                for letter in letters[start : start + RECORDS_IN_FLIGHT]
            ]
            await asyncio.gather(*answers)


async def _write_markers(settings: Settings, letters: list[Letter]) -> None:
    offsets: dict[int, list[bytes]] = {}
    for letter in letters:
        offsets.setdefault(letter.partition, []).append(b"%d" % letter.offset)
    failure = (
        f"{counted(len(letters), 'record was', 'records were')} sent again, but {settings.dead_letter_topic} did not "
        "take the marker of the resend, so another --resend would send the records once more"
    )
    async with open_producer(settings, failure) as producer:
        for partition, numbers in offsets.items():
            for start in range(0, len(numbers), OFFSETS_PER_MARKER):
                headers = [(RESENT_HEADER, b",".join(numbers[start : start + OFFSETS_PER_MARKER]))]
                await producer.send_and_wait(
                    settings.dead_letter_topic, value=b"", partition=partition, headers=headers
                )
