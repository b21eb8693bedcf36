"""A message about producers' partitions shows a key only where keys are no secret."""

import pytest

from streams.broker.partitioners.choice import check_setting, doubt_of
from streams.broker.partitioners.rules import PARTITIONERS, KeyedRecord, judge
from streams.config.errors import SettingsError
from streams.config.settings import Settings

KEYS = [f"ada-{number}@example.org".encode() for number in range(40)]


@pytest.mark.parametrize("key", [None, "pseudonym.key"])
def test_a_message_names_the_place_of_a_record_and_its_key_only_without_pseudonyms(key: str | None) -> None:
    by_crc32 = [KeyedRecord(PARTITIONERS["crc32"](one, 4), number, one) for number, one in enumerate(KEYS)]
    by_none = [KeyedRecord(number % 4, number, one) for number, one in enumerate(KEYS)]
    doubt = doubt_of(Settings(pseudonym_key=key), "events", judge(by_none, 4))
    with pytest.raises(SettingsError) as refused:
        check_setting(Settings(pseudonym_key=key, partitioner="murmur2"), "events", judge(by_crc32, 4))
    assert doubt is not None
    for message in (doubt, str(refused.value)):
        assert " at offset " in message
        assert ("@example.org" in message) == (key is None)
