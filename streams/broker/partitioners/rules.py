"""The rules by which Kafka's clients choose the partition of a key, and the rule that a topic's records follow. Pure.

A broker knows no rule: each producer chooses the partition of a record. The clients have different defaults.

- murmur2: the Java client, Kafka Streams, aiokafka, kafka-python, KafkaJS, franz-go
  (https://kafka.apache.org/documentation/#producerconfigs_partitioner.class)
- crc32: librdkafka, so confluent-kafka in every language, and rdkafka in Rust
  (https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md, `partitioner`)
- fnv1a: sarama in Go (https://github.com/IBM/sarama/blob/main/partitioner.go, `NewHashPartitioner`)
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple
from zlib import crc32

import msgspec
from aiokafka.partitioner import murmur2

from encoder.data.contract.quoting import quote_bytes

Rule = Callable[[bytes, int], int]  # the key and the number of partitions give the partition

# A sample proves a rule where a rule that nobody follows would explain the sample with at most this chance.
PROOF_CHANCE = 1e-6

_FNV_OFFSET, _FNV_PRIME = 0x811C9DC5, 0x01000193  # http://www.isthe.com/chongo/tech/comp/fnv/ (32 bits)


def murmur2_partition(key: bytes, partitions: int) -> int:
    """Kafka's own rule, `toPositive(murmur2(key)) % partitions`."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def crc32_partition(key: bytes, partitions: int) -> int:
    """librdkafka's `consistent`. Its default `consistent_random` differs for empty keys alone, which go anywhere."""
    return crc32(key) % partitions


def fnv1a_partition(key: bytes, partitions: int) -> int:
    """sarama's hash partitioner: the remainder of the 32-bit FNV-1a hash as a signed number, without its sign."""
    value = fnv1a(key)
    return abs(value - 2**32 if value >= 2**31 else value) % partitions


def fnv1a(key: bytes) -> int:
    """The 32-bit FNV-1a hash, unsigned."""
    value = _FNV_OFFSET
    for byte in key:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return value


DEFAULT = "murmur2"
PARTITIONERS: Mapping[str, Rule] = {"murmur2": murmur2_partition, "crc32": crc32_partition, "fnv1a": fnv1a_partition}


class KeyedRecord(NamedTuple):
    """Where a record with a key stands."""

    partition: int
    offset: int
    key: bytes

    def describe(self, shows_key: bool) -> str:
        which = f" with key {quote_bytes(self.key)}" if shows_key else ""
        return f"the record{which} in partition {self.partition} at offset {self.offset}"


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a sample of records says about the rules.

    A wrong rule explains a single record of a topic with n partitions with a chance of 1/n, so one record is no proof.
    `chance` is the chance that a rule which nobody follows explains the whole sample. With 4 partitions, 12 keys in
    partitions 2 and 3 make it 6e-8.
    """

    partitions: int  # of the topic
    keys: int  # different keys in the sample
    explaining: tuple[str, ...]  # the rules that explain every record
    best: str  # the rule that explains most records; murmur2 before others
    chance: float
    unexplained: dict[str, KeyedRecord]  # by rule, one record that the rule does not explain

    @property
    def proven(self) -> str | None:
        """The one rule that explains the sample, where the sample is large enough to tell."""
        return self.best if len(self.explaining) == 1 and self.chance <= PROOF_CHANCE else None

    def against(self, rule: str, shows_key: bool = True) -> str:
        """One record that the rule does not explain, in words. shows_key: whether the words have the record's key."""
        record = self.unexplained[rule]
        wanted = PARTITIONERS[rule](record.key, self.partitions)
        return f"{record.describe(shows_key)} belongs to partition {wanted} by {rule}"


def judge(records: Iterable[KeyedRecord], partitions: int) -> Judgement:
    """Which rules explain where these records of a topic with so many partitions stand.

    A record from before partitions were added stands where the smaller number put it. A topic should grow by a multiple
    (docs/contracts.md), so a rule explains a record with the present number, or with a divisor of the present number.
    """
    counts = [count for count in range(partitions, 0, -1) if partitions % count == 0]
    # Sorted, so that the same records give the same example: a poll returns partitions in any order.
    different = {(record.partition, record.key): record for record in sorted(records)}
    possible = {partition: [count for count in counts if count > partition] for partition in range(partitions)}
    unexplained: dict[str, KeyedRecord] = {}
    hits = dict.fromkeys(PARTITIONERS, 0)
    for name, rule in PARTITIONERS.items():
        for record in different.values():
            hits[name] += rule(record.key, partitions) == record.partition
            if not any(rule(record.key, count) == record.partition for count in possible[record.partition]):
                unexplained[name] = record
    explaining = tuple(name for name in PARTITIONERS if name not in unexplained)
    return Judgement(
        partitions=partitions,
        keys=len({record.key for record in different.values()}),
        explaining=explaining,
        best=max(PARTITIONERS, key=lambda name: (name in explaining, hits[name])),
        chance=math.prod(min(1.0, sum(1 / count for count in possible[partition])) for partition, _ in different),
        unexplained=unexplained,
    )
