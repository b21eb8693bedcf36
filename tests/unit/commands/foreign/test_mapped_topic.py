"""What the commands make of a topic that is read by a mapping."""

from pathlib import Path

import msgspec
import pytest

from streams import cli
from streams.commands.dead_letters.letter import letter_from_record
from streams.commands.dead_letters.letter_users import LetterUsers
from streams.commands.doctor.event_checks import sample_finding, users_finding
from streams.config.settings import Settings
from streams.contracts.dead_letters import dead_letter, decode_headers
from streams.contracts.fields import MAX_HEADERS_BYTES
from streams.engine.codec import Skipped
from tests.support.mapped.records import MAPPING, order, shop_decoder, shop_record
from tests.support.processing import Record

BROKEN = b'{"who": "u-7", "what": '


@pytest.fixture
def mapping(tmp_path: Path) -> str:
    path = tmp_path / "shop.toml"
    path.write_text(MAPPING.replace('"who"', '{ join = ["shop", "who"] }'))
    return str(path)


def letter(record: Record) -> Record:
    """The dead letter of a record, as a reader of the topic sees it."""
    found = dead_letter(record, "why", "value", 0)
    return record._replace(key=found.key or b"", value=found.value, headers=tuple(found.headers))


def test_a_letter_names_its_user_by_the_mapping_and_every_text_of_a_broken_one(mapping: str) -> None:
    user_ids = LetterUsers(Settings(mapping=mapping)).of
    whole = user_ids(letter(shop_record(0, shop="s", who="u", sku="i1")))
    assert b"s:u" in whole, "the user is made of two fields"
    assert {b"u", b"i1", b"a key of its own"} <= whole
    assert b"u-7" in user_ids(letter(Record(b"k", BROKEN, 0, 5)))
    with_header = Record(b"k", None, 0, 5, headers=(("subject", b"u-8"),))
    assert b"u-8" in user_ids(letter(with_header))
    assert b"u-7" not in LetterUsers(Settings()).of(letter(Record(b"k", b'{"who": "u-7"}', 0, 5)))


def test_a_letter_keeps_the_headers_of_its_record_up_to_a_limit() -> None:
    kept = letter(Record(b"k", b"x", 3, 5, headers=(("ce_id", b"7"), ("thalweg-reason", b"old"))))
    found = letter_from_record(kept, decode_headers(kept.headers))
    assert found.headers == [("ce_id", b"7")]
    assert (found.reason, found.whole, found.position.offset, found.position.timestamp_ms) == ("why", True, 3, 5)
    large = letter(Record(b"k", b"x", 3, 5, headers=(("ce_id", bytes(MAX_HEADERS_BYTES)),)))
    found = letter_from_record(large, decode_headers(large.headers))
    assert (found.headers, found.whole) == ([], False)


def test_the_doctor_counts_skipped_records_and_names_what_is_skipped() -> None:
    [event, several, skipped] = shop_decoder().decode_batch(
        [shop_record(0, who="u", sku="i"), order(1, "u", ["i", "j"]), shop_record(2, who="u", what="scrolled")]
    )
    assert isinstance(skipped, Skipped)
    some = sample_finding("events", [event, several, skipped])
    assert (some.state, '1 are skipped by the mapping: action "scrolled" (1)' in some.detail) == ("ok", True)
    every = sample_finding("events", [skipped, skipped])
    assert (every.state, "thalweg map" in every.remedy) == ("failed", True)


def test_the_doctor_finds_users_whose_records_stand_in_several_partitions() -> None:
    [one, other, several] = shop_decoder().decode_batch(
        [shop_record(0, who="u", sku="i"), shop_record(1, who="v", sku="i"), order(2, "u", ["i", "j"])]
    )
    assert not list(users_finding("events", [(0, one), (0, several), (1, other)]))
    [found] = users_finding("events", [(0, one), (1, several), (1, other)])
    assert (found.state, "1 of 2 users" in found.detail, "thalweg rekey" in found.remedy) == ("failed", True, True)


def test_a_replay_into_a_mapped_topic_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THALWEG_MAPPING", "segment")
    log = tmp_path / "log.jsonl"
    log.write_bytes(msgspec.json.encode({}))
    assert cli.main(["replay", str(log)]) == 1
    assert "a replay sends events of the event contract: name another topic" in capsys.readouterr().err


def test_an_unknown_mapping_is_an_error_with_a_remedy() -> None:
    with pytest.raises(Exception, match='did you mean "segment"'):
        LetterUsers(Settings(mapping="segmnt"))
