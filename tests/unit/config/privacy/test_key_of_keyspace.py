"""A keyspace belongs to one key of pseudonyms, or to plain ids, for ever."""

from typing import Any

import pytest

from streams.config.errors import SettingsError
from streams.store.registry import Registry
from tests.support.stream.bound_keyspace import BoundKeyspace

FIRST, SECOND = "00112233aabbccdd", "ffeeddcc99887766"


def claim(keyspace: Any, key: str | None) -> None:
    Registry(keyspace, "k").claim("events", key)


@pytest.mark.parametrize(("first", "second"), [(FIRST, SECOND), (FIRST, None), (None, FIRST)])
def test_a_worker_with_another_key_or_none_is_refused(first: str | None, second: str | None) -> None:
    keyspace = BoundKeyspace()
    claim(keyspace, first)
    claim(keyspace, first)  # a restart
    before = dict(keyspace.bound)
    with pytest.raises(SettingsError, match=r"pseudonym_key \(THALWEG_PSEUDONYM_KEY\)") as refused:
        claim(keyspace, second)
    holds = "plain user ids" if first is None else f"the key with the fingerprint {first}"
    assert holds in str(refused.value)
    assert ("is not set" if second is None else f"with the fingerprint {second}") in str(refused.value)
    assert keyspace.bound == before


def test_rows_of_a_version_without_pseudonyms_are_plain() -> None:
    with pytest.raises(SettingsError, match="holds plain user ids"):
        claim(BoundKeyspace(gru=None), FIRST)
    keyspace = BoundKeyspace(gru=None)
    claim(keyspace, None)
    assert keyspace.bound == {"behavior": "events", "pseudonym key": "none"}


def test_a_keyspace_that_no_worker_has_bound_takes_any_key() -> None:
    for key in (FIRST, None):
        keyspace: Any = BoundKeyspace()
        Registry(keyspace, "k").check_key(key)
