"""Events, the records that the broker confirmed, and the rules by which producers choose a partition."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from zlib import crc32

from kafka.partitioner.default import murmur2

Event = dict[str, Any]
Rule = Callable[[bytes, int], int]  # the key and the number of partitions give the partition

REMEMBERED = 8  # a worker recognises an event that repeats one of the user's last 8 event ids
FIRST_TIME_MS = 10**12


LINES = "lines"  # the field of an order that holds its lines, each with an item and a price
SKIPPED_ACTION = "look away"  # the mapping of orders drops this action


class Position(NamedTuple):
    """Where an event stands. incarnation: how often the topic of this name had been made again before.

    line: the number of the event in its record, from 0.
    """

    incarnation: int
    partition: int
    offset: int
    line: int = 0


class Sent(NamedTuple):
    """A record that the broker confirmed. event: None for an erasure, with the field LINES for an order."""

    position: Position
    user_id: str
    event: Event | None


def ends_of(sent: Iterable[Sent], incarnation: int) -> dict[int, int]:
    """By partition, the offset behind the last record of this incarnation of the topic."""
    ends: dict[int, int] = {}
    for position in (record.position for record in sent):
        if position.incarnation == incarnation:
            ends[position.partition] = max(ends.get(position.partition, 0), position.offset + 1)
    return ends


def murmur2_partition(key: bytes, partitions: int) -> int:
    """The rule of Kafka's own clients."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


def crc32_partition(key: bytes, partitions: int) -> int:
    """The rule `consistent` of librdkafka."""
    return crc32(key) % partitions


def fnv1a_partition(key: bytes, partitions: int) -> int:
    """The rule of sarama: the 32-bit FNV-1a hash as a signed number, then the remainder without its sign."""
    value = 0x811C9DC5
    for byte in key:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    signed = value - 2**32 if value & 0x80000000 else value
    return abs(signed) % partitions


RULES: Mapping[str, Rule] = {"murmur2": murmur2_partition, "crc32": crc32_partition, "fnv1a": fnv1a_partition}


@dataclass
class Shop:
    """Draws events in a reproducible order. The time of an event is up to 50 s earlier than the latest time."""

    draw: random.Random
    vocabulary: Mapping[str, Sequence[str]]
    number: int = 0  # of the last event

    def event(self, user_id: str) -> Event:
        """One event. Some items, actions, categories and brands are unknown to every bundle."""
        draw = self.draw
        self.number += 1
        event: Event = {
            "event_id": f"e-{self.number}",
            "user_id": user_id,
            "item_id": self._pick("items"),
            "action": self._pick("actions"),
            "event_time_ms": FIRST_TIME_MS + self.number * 1000 - draw.choice([0, 0, draw.randrange(50_000)]),
        }
        if draw.random() < 0.7:
            event["price"] = draw.choice([0, 5, 19.99, round(draw.uniform(1, 900), 2)])
        if draw.random() < 0.7:
            event["category"] = self._pick("categories")
        if draw.random() < 0.7:
            event["attributes"] = {"brand": self._pick("brands")}
        return event

    def events(self, users: Sequence[str], count: int) -> Iterator[tuple[str, Event]]:
        """So many records of events, each of a random user. A few events come twice, as a producer repeats them."""
        last: dict[str, Event] = {}
        for _ in range(count):
            user_id = self.draw.choice(users)
            if user_id in last and self.draw.random() < 0.03:
                yield user_id, last[user_id]
            else:
                last[user_id] = self.event(user_id)
                yield user_id, last[user_id]

    def orders(self, users: Sequence[str], count: int) -> Iterator[tuple[str, Event]]:
        """Records as `events` yields them. Many are orders of up to 12 lines, some have a broken line, some no event.

        An order that comes twice is longer than the ids that a worker remembers, now and then.
        """
        draw = self.draw
        decided: set[str] = set()  # A repetition is the same object as the event before, which has been sent.
        for user_id, event in self.events(users, count):
            if event["event_id"] not in decided:
                decided.add(event["event_id"])
                kind = draw.random()
                if kind < 0.02:
                    event["action"] = SKIPPED_ACTION
                elif kind < 0.3:
                    self._make_order(event, is_broken=kind < 0.04)
            yield user_id, event

    def _make_order(self, event: Event, is_broken: bool) -> None:
        """Give the event lines in the place of its item. The mapping would read a broken line's item in the event."""
        lines = [{"item_id": self._pick("items"), "price": 2.5} for _ in range(self.draw.randrange(1, 13))]
        event.pop("item_id")
        event.pop("price", None)
        event[LINES] = [*lines, {"price": 1}] if is_broken else lines

    def one_each(self, users: Sequence[str], count: int = 1) -> Iterator[tuple[str, Event]]:
        """So many new events of every user, in turn."""
        for _ in range(count):
            for user_id in users:
                yield user_id, self.event(user_id)

    def _pick(self, name: str) -> str:
        known = self.vocabulary[name]
        return self.draw.choice(known) if known and self.draw.random() < 0.95 else f"unknown-{self.draw.randrange(9)}"


def user_names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]
