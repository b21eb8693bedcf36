"""`thalweg dlq`: what is in the dead-letter topic and why; with `--resend`, into the behaviour topic again.

A resend is recorded in the dead-letter topic itself: a marker (a record with the header RESENT_HEADER, in the partition of
its letters) lists the offsets that were sent again, after the broker confirmed them. Letters that a marker names are
not shown and never sent a second time. A crash between the two sends them again: an event_id that is among the last
ones of its user is then recognised by the worker.

A letter that a replay wrote a second time counts once: the place of its original tells.

Letters of a user who was erased after them are neither shown nor sent (`streams.erasures`): they stay in the topic
until its retention takes them.
"""

import argparse
import asyncio
import itertools
from collections import Counter, deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streams.broker.topic_reader import read_topic
from streams.commands.erased_letters import Erasures, Place
from streams.commands.replay import Replay
from streams.config.errors import BrokerError
from streams.config.security import broker_arguments
from streams.config.settings import Settings, load_settings
from streams.contracts.dead_letters import (
    ERASED_HEADER,
    FIELD_HEADER,
    KEY_BYTES_HEADER,
    OFFSET_HEADER,
    PARTITION_HEADER,
    REASON_HEADER,
    RESENT_HEADER,
    TIMESTAMP_HEADER,
    TOPIC_HEADER,
    VALUE_BYTES_HEADER,
    decode_headers,
)
from streams.engine.rejection import quote_bytes

MARKED = 1000  # offsets in one marker

Position = tuple[int, int]  # partition and offset in the dead-letter topic


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter that was not sent again. `whole`: its key and value are all of the original's."""

    partition: int
    offset: int
    timestamp_ms: int
    source: str  # topic-partition-offset of the original
    field: str
    reason: str
    key: bytes | None
    value: bytes | None
    whole: bool


class Contents(msgspec.Struct, kw_only=True):
    """Dead letters that match: how many, by field, and the newest of them (oldest first)."""

    dead_letters: int = 0
    by_field: dict[str, int] = {}
    resent: int = 0  # earlier, all reasons
    erased: int = 0  # left out, since their user was erased after them; all reasons
    newest: list[Letter] = []


class Resending(NamedTuple):
    """What became of a resend: records sent, letters that are not whole, and how many of erased users were left out."""

    sent: int
    not_whole: list[Letter]
    erased: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="show the newest N (default 20)")
    parser.add_argument("--reason", default="", metavar="SUBSTR", help="only those whose reason contains this")
    parser.add_argument("--resend", action="store_true", help="send the originals to the behaviour topic again")


def run(args: argparse.Namespace) -> int:
    settings = load_settings()
    if args.resend:
        resending = resend(settings, args.reason)
        if args.json:
            not_whole = [letter.source for letter in resending.not_whole]
            counts = {"resent": resending.sent, "not_whole": not_whole, "erased": resending.erased}
            print(msgspec.json.encode(counts).decode())
        else:
            print(f"dlq: {resending.sent} records sent to {settings.behavior_topic} again{_left_out(resending.erased)}")
            for letter in resending.not_whole:
                print(f"  not sent, since the dead letter holds only its beginning: {letter.source}")
        return 0
    contents = read_contents(settings, args.reason, max(0, args.limit))
    if args.json:
        print(msgspec.json.encode(_as_json(contents)).decode())
    else:
        _print_table(contents)
    return 0


def read_contents(settings: Settings, reason: str = "", limit: int = 20) -> Contents:
    """Count the dead letters whose reason contains `reason`, and keep the newest. Raises BrokerError."""
    return asyncio.run(_read_contents(settings, reason, limit))


def resend(settings: Settings, reason: str = "") -> Resending:
    """Send the originals of the matching letters again. Raises BrokerError."""
    letters, erased = asyncio.run(_matching(settings, reason))
    whole = [letter for letter in letters if letter.whole]
    if whole:
        replay = Replay(settings, settings.behavior_topic)
        replay.run((letter.key, letter.value) for letter in whole)
        asyncio.run(_mark(settings, whole))
    return Resending(len(whole), [letter for letter in letters if not letter.whole], erased)


class _Markers:
    """What the markers of the topic say. Read first: a marker stands behind its letters."""

    def __init__(self) -> None:
        self.resent: set[Position] = set()
        self.erasures = Erasures()
        self.hidden = 0  # letters that the erasures covered, counted as the letters are read
        self._seen: set[tuple[str, Place]] = set()

    def add(self, record: Any) -> None:
        headers = decode_headers(record.headers)
        if RESENT_HEADER in headers:
            self.resent.update((record.partition, int(offset)) for offset in headers[RESENT_HEADER].split(","))
        elif ERASED_HEADER in headers:
            self.erasures.add(headers, record.partition, record.timestamp)

    def hide(self, record: Any, headers: dict[str, str]) -> bool:
        """Whether the record is no letter to be shown. Letters in the order of their partitions."""
        if RESENT_HEADER in headers or ERASED_HEADER in headers:
            return True
        place = _place(record, headers)
        if place.offset >= 0:
            source = (headers.get(TOPIC_HEADER, ""), place)
            if source in self._seen:  # a replay after a crash wrote it again
                return True
            self._seen.add(source)
        if (record.partition, record.offset) in self.resent:
            return True
        covered = self.erasures.cover(place, record.key, record.value)
        self.hidden += covered
        return covered


async def _read_contents(settings: Settings, reason: str, limit: int) -> Contents:
    markers = await _markers(settings)
    fields: Counter[str] = Counter()
    newest: dict[int, deque[Letter]] = {}
    async for letter in _letters(settings, markers):
        if reason in letter.reason:
            fields[letter.field] += 1
            newest.setdefault(letter.partition, deque(maxlen=limit)).append(letter)
    merged = sorted(itertools.chain.from_iterable(newest.values()), key=lambda letter: letter.timestamp_ms)
    return Contents(
        dead_letters=fields.total(),
        by_field=dict(fields.most_common()),
        resent=len(markers.resent),
        erased=markers.hidden,
        newest=merged[len(merged) - limit :] if limit < len(merged) else merged,
    )


async def _matching(settings: Settings, reason: str) -> tuple[list[Letter], int]:
    markers = await _markers(settings)
    letters = [letter async for letter in _letters(settings, markers) if reason in letter.reason]
    return letters, markers.hidden


async def _markers(settings: Settings) -> _Markers:
    found = _Markers()
    async for records in read_topic(settings, settings.dead_letter_topic):
        for record in records:
            found.add(record)
    return found


async def _letters(settings: Settings, markers: _Markers) -> AsyncIterator[Letter]:
    async for records in read_topic(settings, settings.dead_letter_topic):
        for record in records:
            headers = decode_headers(record.headers)
            if not markers.hide(record, headers):
                yield _letter(record, headers)


def _place(record: Any, headers: dict[str, str]) -> Place:
    """Where the original stood; of a letter that is not of Thalweg, only when it was written."""
    names = (PARTITION_HEADER, OFFSET_HEADER, TIMESTAMP_HEADER)
    try:
        partition, offset, timestamp_ms = (int(headers[name]) for name in names)
    except (KeyError, ValueError):
        return Place(-1, -1, record.timestamp)
    return Place(partition, offset, timestamp_ms if timestamp_ms >= 0 else record.timestamp)


def _letter(record: Any, headers: dict[str, str]) -> Letter:
    source = [headers.get(name, "?") for name in (TOPIC_HEADER, PARTITION_HEADER, OFFSET_HEADER)]
    return Letter(
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        source="-".join(source),
        field=headers.get(FIELD_HEADER, "?"),
        reason=headers.get(REASON_HEADER, "no reason: not written by Thalweg"),
        key=record.key,
        value=record.value,
        whole=KEY_BYTES_HEADER not in headers and VALUE_BYTES_HEADER not in headers,
    )


async def _mark(settings: Settings, letters: list[Letter]) -> None:
    offsets: dict[int, list[bytes]] = {}
    for letter in letters:
        offsets.setdefault(letter.partition, []).append(b"%d" % letter.offset)
    producer = AIOKafkaProducer(acks="all", enable_idempotence=True, **broker_arguments(settings))
    try:
        await producer.start()
        for partition, numbers in offsets.items():
            for at in range(0, len(numbers), MARKED):
                headers = [(RESENT_HEADER, b",".join(numbers[at : at + MARKED]))]
                await producer.send_and_wait(
                    settings.dead_letter_topic, value=b"", partition=partition, headers=headers
                )
    except KafkaError as error:
        raise BrokerError(
            f"{len(letters)} records were sent again, but {settings.dead_letter_topic} did not take the note of it: "
            f"{error!r}; another --resend would send them once more"
        ) from error
    finally:
        await producer.stop()


def _as_json(contents: Contents) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(contents)
    fields["newest"] = [
        msgspec.to_builtins(letter) | {"key": _text(letter.key), "value": _text(letter.value)}
        for letter in contents.newest
    ]
    return fields


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")


def _print_table(contents: Contents) -> None:
    table = Table(
        title=f"{contents.dead_letters} dead letters" + (f", {contents.resent} resent" * bool(contents.resent))
    )
    for column in ("when (UTC)", "record", "key", "field", "reason"):
        table.add_column(column, overflow="fold")
    for letter in contents.newest:
        when = datetime.fromtimestamp(letter.timestamp_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        key = "none" if letter.key is None else quote_bytes(letter.key)
        table.add_row(*(Text(text) for text in (when, letter.source, key, letter.field, letter.reason)))
    Console().print(table)
    by_field = ", ".join(f"{field} {count}" for field, count in contents.by_field.items())
    by_field = f" (by field: {by_field})" if by_field else ""
    print(f"dlq: {contents.dead_letters} dead letters{by_field}{_left_out(contents.erased)}")


def _left_out(erased: int) -> str:
    return f"; {erased} of erased users left out" if erased else ""
