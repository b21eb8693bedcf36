"""Reads the dead letters that are neither sent again nor of erased users."""

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import AsyncIterator

import msgspec

from streams.broker.decoding.pseudonym_key import open_pseudonyms
from streams.broker.topic_reader import read_topic
from streams.commands.dead_letters.letter import Letter, letter_from_record
from streams.commands.dead_letters.letter_users import LetterUsers
from streams.commands.dead_letters.markers import Markers
from streams.commands.dead_letters.originals import Originals
from streams.config.settings import Settings
from streams.contracts.dead_letters import decode_headers


class Contents(msgspec.Struct, kw_only=True):
    """The number of dead letters whose reason matches, the number by field, and the newest letters, oldest first."""

    dead_letters: int = 0
    by_field: dict[str, int] = {}
    resent: int = 0  # letters that were sent again earlier, whatever their reason
    erased: int = 0  # letters of users who were erased later, whatever their reason
    newest: list[Letter] = []


def read_contents(settings: Settings, reason: str = "", limit: int = 20) -> Contents:
    """Count the dead letters whose reason contains `reason` and keep the newest `limit` of them. Raises BrokerError."""
    return asyncio.run(_read_contents(settings, reason, limit))


async def matching_letters(settings: Settings, reason: str) -> tuple[list[Letter], int]:
    """All letters whose reason contains `reason`, and the number of letters of erased users. Raises BrokerError."""
    users, originals = LetterUsers(settings), Originals(open_pseudonyms(settings))
    markers = await _read_markers(settings, users, originals)
    found = _read_letters(settings, markers, users, originals)
    letters = [letter async for letter in found if letter.matches(reason)]
    return letters, markers.letters_of_erased_users


async def _read_contents(settings: Settings, reason: str, limit: int) -> Contents:
    users, originals = LetterUsers(settings), Originals(open_pseudonyms(settings))
    markers = await _read_markers(settings, users, originals)
    fields: Counter[str] = Counter()
    newest: dict[int, deque[Letter]] = {}
    async for letter in _read_letters(settings, markers, users, originals):
        if letter.matches(reason):
            fields[letter.field] += 1
            newest.setdefault(letter.partition, deque(maxlen=limit)).append(letter)
    merged = sorted(itertools.chain.from_iterable(newest.values()), key=lambda letter: letter.timestamp_ms)
    return Contents(
        dead_letters=fields.total(),
        by_field=dict(fields.most_common()),
        resent=len(markers.resent),
        erased=markers.letters_of_erased_users,
        newest=merged[max(0, len(merged) - limit) :],
    )


async def _read_markers(settings: Settings, users: LetterUsers, originals: Originals) -> Markers:
    markers = Markers(lambda letter: originals.user_ids(users.of(letter)))
    async for records in read_topic(settings, settings.dead_letter_topic):
        for record in records:
            markers.add(record)
    return markers


async def _read_letters(
    settings: Settings, markers: Markers, users: LetterUsers, originals: Originals
) -> AsyncIterator[Letter]:
    async for batch in read_topic(settings, settings.dead_letter_topic):
        records = [originals.read(record) for record in batch]
        if markers.has_erasures:
            users.prepare(records)
        for record in records:
            headers = decode_headers(record.headers)
            if not markers.hides(record, headers):
                yield letter_from_record(record, headers)
