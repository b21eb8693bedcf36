"""An updates topic belongs to one noise, or to exact vectors, for ever."""

from typing import Any

import pytest

from streams.config.errors import SettingsError
from streams.store.registry import Registry
from tests.support.stream.bound_keyspace import BoundKeyspace

FIRST, SECOND, TOPIC = "00112233aabbccdd", "ffeeddcc99887766", "updates"


def claim(keyspace: Any, noise: str | None, topic: str = TOPIC) -> None:
    Registry(keyspace, "k").claim_updates(topic, noise)


@pytest.mark.parametrize(("other", "given"), [(SECOND, f"fingerprint {SECOND}"), (None, "are not set")])
def test_a_topic_with_noise_takes_no_other_noise_and_no_exact_vector(other: str | None, given: str) -> None:
    keyspace = BoundKeyspace(gru=TOPIC)
    keyspace.bound[f"noise of {TOPIC}"] = FIRST
    claim(keyspace, FIRST)  # a restart
    with pytest.raises(SettingsError, match=rf"topic updates holds .*fingerprint {FIRST}, .*{given}.*UPDATES_TOPIC"):
        claim(keyspace, other)
    assert keyspace.bound == {f"noise of {TOPIC}": FIRST}


@pytest.mark.parametrize("held", [TOPIC, None])
def test_a_topic_with_exact_vectors_takes_no_noise(held: str | None) -> None:
    keyspace = BoundKeyspace(gru=held)
    claim(keyspace, None)
    with pytest.raises(SettingsError, match="topic updates holds exact vectors"):
        claim(keyspace, FIRST)
    assert not keyspace.bound


def test_a_new_topic_takes_any_noise() -> None:
    keyspace = BoundKeyspace(gru="earlier", new="updates.new")
    claim(keyspace, FIRST)
    claim(keyspace, None, "updates.new")
    claim(BoundKeyspace(old=None), FIRST, "updates.old")  # the topic of the bundle alone
    assert keyspace.bound == {f"noise of {TOPIC}": FIRST}


def test_another_worker_may_bind_the_topic_at_the_same_time() -> None:
    class Raced(BoundKeyspace):
        def execute(self, what: str, query: str, values: Any = ()) -> list[tuple[str]]:
            if "INSERT" in query:
                self.bound[f"noise of {TOPIC}"] = SECOND
            return super().execute(what, query, values)

    with pytest.raises(SettingsError, match=f"fingerprint {SECOND}"):
        claim(Raced(), FIRST)
