"""The partitions that Kafka's clients choose, and which rule explains a sample of records."""

import random

import pytest
from kafka.partitioner.default import murmur2

from streams.broker.partitioners.choice import check_setting, describe_judgement, doubt_of
from streams.broker.partitioners.rules import PARTITIONERS, KeyedRecord, fnv1a, judge
from streams.config.errors import SettingsError
from streams.config.settings import Settings

KEYS = [
    *(b"user-%d" % n for n in range(12)),
    "günther".encode(),
    "ユーザー".encode(),
    b"\xff\x00\x80",
    b"a",
    b"x" * 100,
]
# What librdkafka 2.16.0 (of the package confluent-kafka 2.16.1) chooses for KEYS among 1,000 partitions. The figures
# come from its functions `rd_kafka_msg_partitioner_murmur2`, `_consistent` and `_fnv1a`, called through ctypes. Its
# fnv1a says of itself that it does as sarama's hash partitioner. 200,000 random keys and numbers of partitions gave no
# difference from this code either. A producer of confluent-kafka on librdkafka's mock cluster chose likewise.
LIBRDKAFKA = {
    "murmur2": [763, 828, 856, 267, 567, 326, 373, 364, 121, 379, 510, 530, 267, 779, 258, 524, 468],
    "crc32": [970, 524, 150, 584, 483, 629, 959, 745, 712, 574, 26, 932, 830, 226, 527, 907, 759],
    "fnv1a": [177, 796, 939, 558, 653, 272, 415, 34, 129, 748, 588, 207, 338, 662, 802, 76, 499],
}


@pytest.mark.parametrize("name", PARTITIONERS)
def test_each_rule_chooses_as_librdkafka_does(name: str) -> None:
    assert [PARTITIONERS[name](key, 1_000) for key in KEYS] == LIBRDKAFKA[name]


def test_fnv1a_gives_the_published_vectors() -> None:
    """http://www.isthe.com/chongo/src/fnv/test_fnv.c"""
    assert [fnv1a(text) for text in (b"", b"a", b"foobar")] == [0x811C9DC5, 0xE40C292C, 0xBF9CF968]


def test_crc32_gives_the_vector_of_saramas_tests() -> None:
    """partitioner_test.go of sarama: the checksum is negative as a signed number, and must count as unsigned."""
    assert PARTITIONERS["crc32"](b"SheetJS", 100) == 26


def test_murmur2_is_the_one_of_kafka_python() -> None:
    draw = random.Random(3)
    for _ in range(500):
        key, partitions = draw.randbytes(draw.randrange(1, 40)), draw.randrange(1, 50)
        assert PARTITIONERS["murmur2"](key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions


def sample(rule: str, keys: int, partitions: int, written_with: int | None = None) -> list[KeyedRecord]:
    """Return records whose producer follows the rule, and knows of `written_with` partitions."""
    names = [b"user-%d" % n for n in range(keys)]
    return [KeyedRecord(PARTITIONERS[rule](key, written_with or partitions), n, key) for n, key in enumerate(names)]


@pytest.mark.parametrize("rule", PARTITIONERS)
@pytest.mark.parametrize("partitions", [2, 3, 4, 12, 100])
def test_a_sample_proves_the_rule_that_it_follows(rule: str, partitions: int) -> None:
    found = judge(sample(rule, 200, partitions), partitions)
    assert (found.proven, found.best, found.explaining, found.keys) == (rule, rule, (rule,), 200)
    assert doubt_of(Settings(), "events", found) is None


@pytest.mark.parametrize("rule", PARTITIONERS)
def test_records_from_before_partitions_were_added_change_nothing(rule: str) -> None:
    for before, now in ((4, 8), (2, 8), (1, 4), (3, 9)):
        found = judge(sample(rule, 300, now) + sample(rule, 150, now, written_with=before), now)
        assert (found.best, found.explaining) == (rule, (rule,)), (before, now)


def test_without_records_the_rule_is_murmur2() -> None:
    found = judge([], 4)
    assert (found.proven, found.best) == (None, "murmur2")
    assert "no record with a key yet" in describe_judgement(found)
    assert "every rule" in describe_judgement(judge(sample("crc32", 50, 1), 1))


def test_few_keys_prove_nothing_and_a_key_counts_once() -> None:
    one = sample("crc32", 1, 4)
    assert judge(one * 200, 4).keys == 1
    assert judge(one * 200, 4).proven is None
    few = judge(sample("crc32", 5, 4), 4)
    assert (few.best, few.proven) == ("crc32", None)
    assert "too few to tell" in describe_judgement(few)
    check_setting(Settings(partitioner="murmur2"), "events", few)  # nothing is proven, so nothing is raised


def test_a_setting_that_the_records_contradict_is_an_error_that_names_both_rules() -> None:
    found = judge(sample("crc32", 100, 4), 4)
    check_setting(Settings(partitioner="crc32"), "events", found)
    with pytest.raises(SettingsError, match=r"THALWEG_PARTITIONER\) is 'murmur2'.*100 keys of topic events.*'crc32'"):
        check_setting(Settings(partitioner="murmur2"), "events", found)


def test_records_that_no_rule_explains_are_doubtful_and_an_example_is_named() -> None:
    found = judge([KeyedRecord(n % 4, n, b"user-%d" % n) for n in range(100)], 4)
    assert (found.explaining, found.proven) == ((), None)
    doubt = doubt_of(Settings(), "events", found)
    assert doubt is not None
    example = found.unexplained[found.best]
    assert f"'{example.key.decode()}' in partition {example.partition} at offset {example.offset}" in doubt
    wanted = PARTITIONERS[found.best](example.key, 4)
    assert f"belongs to partition {wanted} by {found.best}" in doubt


def test_two_producers_with_different_rules_are_doubtful_and_the_rule_of_most_records_is_used() -> None:
    found = judge(sample("crc32", 200, 4) + sample("murmur2", 40, 4), 4)
    assert (found.best, found.explaining) == ("crc32", ())
    assert doubt_of(Settings(), "events", found) is not None
