"""The arena: which users are evicted, and what an evicted or dropped user leaves."""

import numpy as np
import pytest

from streams.engine.arena import NO_OFFSET, Arena, StoredUser


def user(name: str, partition: int = 0) -> StoredUser:
    return StoredUser(
        user_id=name,
        partition=partition,
        offset=7,
        steps=3,
        last_time_ms=9,
        last_item="i",
        recent=[1, 2],
        state=np.ones(2, np.float32),
        representation=np.ones(3, np.float32),
    )


def test_the_least_recently_used_users_with_stored_rows_are_evicted() -> None:
    arena = Arena(3, 2, 3)
    for sequence, name in enumerate("abc", 1):
        arena.insert([user(name)], 0, sequence)
    assert arena.evict(1, stored_up_to=2)
    assert "a" not in arena
    assert {"b", "c"} <= {name for name, _ in arena.users()}


def test_users_whose_last_record_is_old_and_whose_rows_are_stored_are_dropped() -> None:
    arena = Arena(4, 2, 3)
    for user, last_record_ms, batch in (("old", 10, 1), ("new", 99, 1), ("unstored", 10, 5), ("unknown", -1, 1)):
        slot = arena.allocate(user)
        arena.partition[slot], arena.last_record_ms[slot], arena.last_used[slot] = 0, last_record_ms, batch
    assert arena.drop_absent(50, stored_up_to=4) == 1
    assert {user for user, _ in arena.users()} == {"new", "unstored", "unknown"}
    assert not arena.was_evicted("old"), "the row may expire, so nobody may miss it"


def test_users_whose_rows_are_not_stored_are_not_evicted() -> None:
    arena = Arena(2, 2, 3)
    arena.insert([user("a"), user("b")], 0, 5)
    assert not arena.evict(1, stored_up_to=4)
    assert len(arena) == 2


def test_a_full_arena_raises_an_error() -> None:
    arena = Arena(1, 2, 3)
    arena.insert([user("a")], 0, 1)
    with pytest.raises(IndexError, match="full with 1 users"):
        arena.allocate("b")


def test_the_slot_of_a_dropped_user_is_cleared_and_used_again() -> None:
    arena = Arena(2, 2, 3)
    arena.insert([user("a", partition=1), user("b", partition=2)], 0, 1)
    slot = arena.slot("a")
    assert arena.drop_partitions([1]) == 1
    assert "a" not in arena
    assert not arena.state[slot].any()
    assert not arena.recent[slot].any()
    assert arena.allocate("c") == slot
    assert arena.last_item[slot] is None


def test_the_columns_hold_a_restored_user() -> None:
    arena = Arena(2, 2, 3)
    arena.insert([user("a")], 0, 1)
    slot = arena.slot("a")
    assert slot is not None
    assert (arena.offset[slot], arena.steps[slot], arena.last_time_ms[slot]) == (7, 3, 9)
    assert arena.recent[slot].tolist() == [0, 0, 0, 0, 0, 0, 1, 2]
    assert arena.offset[1 - slot] == NO_OFFSET
