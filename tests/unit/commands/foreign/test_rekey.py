"""What `thalweg rekey` writes for a record. tests/integration/test_map_topic.py has the command on a real Kafka."""

import json
from typing import Any

import pytest
from aiokafka import TopicPartition

from encoder.data.contract.rejection import Rejection
from encoder.data.mapping import SourceRecord, parse_mapping
from encoder.data.mapping.proposals import Reading
from streams.commands.map.report import count_lines
from streams.commands.map.sample import Sample, of_topic
from streams.commands.rekey.command import check_mapping, check_target
from streams.commands.rekey.rekey import EVENTS, Places, Rekey, Sent
from streams.config.errors import InputError
from streams.config.settings import Settings
from streams.contracts.dead_letters import REASON_HEADER
from streams.engine.codec import decode
from streams.engine.payload.reader import JsonReader
from tests.support.processing import Record

KEYED = 'user = ["user", "key:"]\nitem = "item"\naction = { const = "view" }\ntime = "timestamp:"\n'

LINES = 'each = "lines"\nuser = "user"\nitem = "line:sku"\naction = { const = "view" }\ntime = "timestamp:"\n'


@pytest.fixture
def rekey() -> Rekey:
    mapping = parse_mapping(KEYED + '[[where]]\nfrom = "kind"\nin = ["shop"]', "keyed.toml", "keyed")
    return Rekey(Settings(), "tracking", "keyed", mapping, lambda key, places: len(key) % places, Places(8, 1))


@pytest.fixture
def counts() -> Reading:
    return Reading()


def sent(rekey: Rekey, key: bytes | None, value: Any, counts: Reading | None = None) -> list[Sent]:
    encoded = None if value is None else json.dumps(value).encode()
    record = Record(key, encoded, offset=3, timestamp=1_772_359_200_000)
    (decoded,) = of_topic([record], JsonReader())
    return rekey.sent(record, decoded, Reading() if counts is None else counts)


def test_an_event_is_keyed_by_its_user(rekey: Rekey) -> None:
    ((topic, key, value, headers, partition),) = sent(rekey, b"m-1", {"kind": "shop", "user": "u-42", "item": "p"})
    assert (topic, key, headers, partition) == ("keyed", b"u-42", [], 4)
    assert getattr(decode(key, value, 1_772_359_200_000), "item_id", None) == "p"


def test_a_null_value_is_an_erasure_of_the_user_in_the_key(rekey: Rekey) -> None:
    assert sent(rekey, b"u-1", None) == [("keyed", b"u-1", None, [], 3)]
    assert sent(rekey, None, None) == []
    for key in (b"\xff", b"x" * 600):
        ((topic, kept, _, headers, _),) = sent(rekey, key, None)
        assert (topic, kept) == ("tracking.dlq", key)
        assert b"an erasure needs the user in the key" in dict(headers)[REASON_HEADER]


def test_other_records_are_skipped_or_dead_letters(rekey: Rekey, counts: Reading) -> None:
    assert sent(rekey, b"u", {"kind": "page"}, counts) == []
    ((topic, key, value, headers, _),) = sent(rekey, b"u", {"kind": "shop"}, counts)
    assert (topic, key, value) == ("tracking.dlq", b"u", b'{"kind": "shop"}')
    assert dict(headers)[REASON_HEADER].startswith(b"item_id is missing: no item in ")
    assert (counts.records, counts.skipped.total(), counts.rejected.total()) == (2, 1, 1)


def order(offset: int, lines: list[dict[str, Any]]) -> Record:
    value = {"kind": "shop", "user": "u", "lines": lines}
    return Record(b"k", json.dumps(value).encode(), offset=offset, timestamp=1_772_359_200_000)


def test_long_orders_end_a_transaction_and_every_record_is_counted_once() -> None:
    """Also an order without lines, an order of five with a broken line, and a tombstone in a compacted topic."""
    mapping = parse_mapping(LINES, "lines.toml", "lines")
    rekey = Rekey(Settings(), "tracking", "keyed", mapping, lambda key, places: 0, Places(1, 1))
    long = [{"sku": f"p-{line}"} for line in range(EVENTS)]
    tombstone = Record(b"k", None, offset=9, timestamp=0)
    first, second = TopicPartition("tracking", 0), TopicPartition("tracking", 1)
    batches = {
        first: [order(3, long), order(5, []), order(8, [*long[:4], {}]), tombstone],
        second: [order(2, long), order(4, long[:3])],
    }
    found = list(rekey.transactions(batches))
    written = [(len(sent), offsets) for sent, offsets, _ in found]
    assert written == [(EVENTS, {first: 4}), (1 + EVENTS, {first: 10, second: 3}), (3, {second: 5})]
    total = Reading()
    for _, _, counts in found:
        total.add(counts)
    assert (total.records, total.read, total.events) == (6, 3, 2 * EVENTS + 3)
    assert (total.skipped.total(), total.rejected.total()) == (2, 1)
    ids = [json.loads(value)["event_id"] for _, _, value, _, _ in found[0][0] if value]
    assert ids[0].endswith("#1")
    assert ids[-1].endswith(f"#{EVENTS}")
    (letter,) = (one for one in found[1][0] if one[0] == "tracking.dlq")
    assert dict(letter[3])[REASON_HEADER].startswith(b"line 5: item_id is missing")


@pytest.mark.parametrize("target", ["tracking", "tracking.dlq", "representations.updates.v1", "evaluation.events.v1"])
def test_a_topic_with_another_purpose_is_no_target(target: str) -> None:
    with pytest.raises(InputError, match=f"--to {target} is the .*: name "):
        check_target(Settings(), "tracking", target)


def test_the_topic_of_a_worker_and_topics_of_no_setting_are_targets() -> None:
    check_target(Settings(), "tracking", Settings().behavior_topic)
    check_target(Settings(), "tracking", "other")


def sample_of(*values: dict[str, Any]) -> Sample:
    return Sample("topic tracking", [SourceRecord(value, b"m-1", (), 1_772_359_200_000) for value in values], [])


def test_a_mapping_that_rejects_and_gives_no_event_is_refused_before_anything_is_written() -> None:
    mapping = parse_mapping(
        KEYED.replace('"item"', '"itme"') + '[[where]]\nfrom = "kind"\nin = ["shop"]', "k.toml", "k"
    )
    shop, page = {"kind": "shop", "user": "u", "item": "p"}, {"kind": "page"}
    newest = sample_of(shop, page, shop)
    with pytest.raises(InputError, match=r"no event for the newest 3 records of topic tracking.*itme"):
        check_mapping(mapping, lambda: newest, lambda: newest)
    check_mapping(mapping, lambda: sample_of(page), none)  # nothing is rejected, and events may come
    check_mapping(parse_mapping(KEYED, "k.toml", "k"), lambda: sample_of(shop, {"item": None}), none)
    check_mapping(mapping, sample_of, none)  # a topic without records, or with an open transaction alone


def none() -> Sample:
    raise AssertionError("the newest records are enough")


def test_a_right_mapping_is_taken_where_the_newest_records_are_broken() -> None:
    mapping = parse_mapping(KEYED + '[[where]]\nfrom = "kind"\nin = ["shop"]', "k.toml", "k")
    shop, foreign, page = {"kind": "shop", "user": "u", "item": "p"}, {"kind": "shop"}, {"kind": "page"}
    check_mapping(mapping, lambda: sample_of(foreign, foreign), lambda: sample_of(page, shop))
    broken = Rejection("value is not JSON", "value")
    check_mapping(mapping, lambda: Sample("topic tracking", [*sample_of(page).records, broken], []), none)
    unreadable = Sample("topic tracking", [broken, broken], [])
    with pytest.raises(InputError, match=r"the newest 2 records of topic tracking.*value is not JSON"):
        check_mapping(mapping, lambda: unreadable, lambda: unreadable)


def test_the_counts_tell_what_was_written() -> None:
    counts = Reading(records=2)
    counts.add_rejected("no item")
    assert count_lines(counts, are_written=True)[0].endswith("1 became a dead letter")
    counts.add_rejected("no item")
    assert count_lines(counts, are_written=True)[0].endswith("2 became dead letters")
