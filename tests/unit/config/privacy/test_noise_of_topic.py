"""An updates topic belongs to one noise, or to exact vectors, for ever."""

import json
from typing import Any

import pytest

from streams.config.errors import SettingsError
from streams.store.registry import Registry

FIRST, SECOND, TOPIC = "00112233aabbccdd", "ffeeddcc99887766", "updates"


class Keyspace:
    """The tables `behavior_topic` and `bundles` of a keyspace, for the statements of the registry."""

    def __init__(self, **topic_of: str | None) -> None:
        """topic_of: bundle id -> its updates topic, None where only an earlier version has served the bundle."""
        self.bound: dict[str, str] = {}
        self._topic_of = topic_of

    def execute(self, _: str, query: str, values: Any = ()) -> list[tuple[str]]:
        if "INSERT INTO k.behavior_topic" in query:
            assert query.endswith("IF NOT EXISTS")
            self.bound.setdefault(values[0], values[1])
            return []
        if "FROM k.behavior_topic" in query:
            return [(self.bound[values[0]],)] if values[0] in self.bound else []
        assert query == "SELECT JSON * FROM k.bundles"
        fields = {"width": 4, "items": 9, "first_served_at": "2026-11-29 08:00:00.000Z"}
        return [
            (json.dumps(fields | {"bundle_id": one, "updates_topic": topic}),) for one, topic in self._topic_of.items()
        ]


def claim(keyspace: Any, noise: str | None, topic: str = TOPIC) -> None:
    Registry(keyspace, "k").claim_updates(topic, noise)


@pytest.mark.parametrize(("other", "given"), [(SECOND, f"fingerprint {SECOND}"), (None, "are not set")])
def test_a_topic_with_noise_takes_no_other_noise_and_no_exact_vector(other: str | None, given: str) -> None:
    keyspace = Keyspace(gru=TOPIC)
    keyspace.bound[f"noise of {TOPIC}"] = FIRST
    claim(keyspace, FIRST)  # a restart
    with pytest.raises(SettingsError, match=rf"topic updates holds .*fingerprint {FIRST}, .*{given}.*UPDATES_TOPIC"):
        claim(keyspace, other)
    assert keyspace.bound == {f"noise of {TOPIC}": FIRST}


@pytest.mark.parametrize("held", [TOPIC, None])
def test_a_topic_with_exact_vectors_takes_no_noise(held: str | None) -> None:
    keyspace = Keyspace(gru=held)
    claim(keyspace, None)
    with pytest.raises(SettingsError, match="topic updates holds exact vectors"):
        claim(keyspace, FIRST)
    assert not keyspace.bound


def test_a_new_topic_takes_any_noise() -> None:
    keyspace = Keyspace(gru="earlier", new="updates.new")
    claim(keyspace, FIRST)
    claim(keyspace, None, "updates.new")
    claim(Keyspace(old=None), FIRST, "updates.old")  # the topic of the bundle alone
    assert keyspace.bound == {f"noise of {TOPIC}": FIRST}


def test_another_worker_may_bind_the_topic_at_the_same_time() -> None:
    class Raced(Keyspace):
        def execute(self, what: str, query: str, values: Any = ()) -> list[tuple[str]]:
            if "INSERT" in query:
                self.bound[f"noise of {TOPIC}"] = SECOND
            return super().execute(what, query, values)

    with pytest.raises(SettingsError, match=f"fingerprint {SECOND}"):
        claim(Raced(), FIRST)
