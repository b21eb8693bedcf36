"""The set of evicted users, also across merges."""

import random

import pytest

from streams.engine import arena
from streams.engine.arena import EvictedUsers


def test_it_holds_what_a_set_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arena, "MERGE_AT", 7)
    draw, expected, found = random.Random(0), set(), EvictedUsers()
    for _ in range(3_000):
        user = f"user-{draw.randrange(100)}"
        if draw.random() < 0.6:
            found.add([user])
            expected.add(user)
        else:
            found.discard(user)
            expected.discard(user)
        asked = f"user-{draw.randrange(100)}"
        assert (asked in found) == (asked in expected)
    found.clear()
    assert not any(f"user-{number}" in found for number in range(100))
