"""Where an erasure goes, and what proves that every bundle has forgotten the user."""

import uuid

from streams.commands.erase.proof import Bundle, Incarnation, ends_behind, judge
from streams.engine.epochs import Epoch
from streams.engine.state_cell import StoredPosition
from streams.store.bundles.held_rows import HeldRow

NOW, BEFORE = uuid.uuid4(), uuid.uuid4()
DELETED = Epoch(0, BEFORE, 4, ())
FIRST = Epoch(1, NOW, 4, ())
GROWN = Epoch(2, NOW, 8, (5, 5, 5, 5))


def row(epoch: int, partition: int, offset: int = 9, bundle_id: str = "gru-a") -> HeldRow:
    return HeldRow(bundle_id, StoredPosition(epoch, partition, offset))


def partitions_of(epochs: list[Epoch], rows: list[HeldRow], partitions: int) -> list[int]:
    return Incarnation.of(epochs, NOW).partitions_of(rows, partitions, by_rule=[3])


def test_the_erasure_goes_where_the_rows_of_the_user_say_that_the_events_are() -> None:
    assert partitions_of([DELETED, FIRST], [row(1, 2)], 4) == [2]
    assert partitions_of([DELETED, FIRST], [row(1, 2), row(1, 0, bundle_id="gru-b")], 4) == [0, 2]


def test_without_a_row_the_erasure_goes_where_the_rule_puts_the_user() -> None:
    assert partitions_of([DELETED, FIRST], [], 4) == [3]
    assert partitions_of([], [], 4) == [3], "no worker has read the topic yet"
    assert partitions_of([FIRST], [HeldRow("gru-a", None)], 4) == [3], "the row is damaged"


def test_rows_of_another_topic_or_number_of_partitions_do_not_say_where_the_events_are() -> None:
    assert partitions_of([DELETED, FIRST], [row(0, 2)], 4) == [3]
    assert partitions_of([FIRST, GROWN], [row(1, 2)], 8) == [3]
    assert partitions_of([FIRST, GROWN], [row(2, 6)], 8) == [6]


def test_while_added_partitions_wait_the_erasure_goes_into_both_partitions_of_the_user() -> None:
    assert partitions_of([FIRST], [row(1, 2)], 8) == [2, 3]


def test_a_row_that_began_after_the_erasure_is_not_held() -> None:
    incarnation = Incarnation.of([DELETED, FIRST], NOW)
    assert incarnation.is_after(StoredPosition(1, 2, 10), {2: 9})
    assert not incarnation.is_after(StoredPosition(1, 2, 8), {2: 9})
    assert not incarnation.is_after(StoredPosition(1, 1, 10), {2: 9})
    assert not incarnation.is_after(StoredPosition(0, 2, 10), {2: 9}), "of the deleted topic"
    assert not incarnation.is_after(None, {2: 9})


def bundle(name: str = "gru-a", workers: int = 1, has_passed: bool = True, holds_row: bool = False) -> Bundle:
    return Bundle(name, f"thalweg-{name}", workers, has_passed, holds_row)


def test_a_read_erasure_without_a_row_is_proven_and_retired_bundles_without_a_row_do_not_count() -> None:
    found = judge([bundle(), bundle("gru-old", workers=0, has_passed=False)], "shop")
    assert found.is_proven
    assert "gru-a: forgotten" in found.lines[0]
    assert found.lines[1] == "gru-old: no row is stored, and group thalweg-gru-old has no worker"


def test_a_bundle_that_may_store_the_user_later_is_named() -> None:
    """A backfill has no member in the group, and writes rows late. Nobody writes rows of a retired bundle."""
    others = [bundle("gru-new", workers=0, has_passed=False), bundle("gru-old", 0, has_passed=False)]
    found = judge([bundle(), others[0], others[1]._replace(is_retired=True)], "shop")
    assert (found.is_proven, found.unread) == (True, ("gru-new",))
    assert found.lines[2] == "gru-old: no row is stored, and the bundle was retired"


def test_a_row_of_a_bundle_without_workers_is_named_with_its_remedy() -> None:
    found = judge([bundle(), bundle("gru-old", workers=0, has_passed=False, holds_row=True)], "shop")
    assert (found.is_proven, found.is_final) == (False, False)
    assert "gru-old: a row is still stored, and group thalweg-gru-old has no worker" in found.lines[1]
    assert "start `thalweg worker` with this bundle" in found.lines[1]


def test_a_row_of_a_bundle_whose_retirement_was_killed_goes_by_another_retirement() -> None:
    """No worker may serve the bundle any more."""
    left = bundle("gru-old", workers=0, has_passed=False, holds_row=True)._replace(is_retired=True)
    found = judge([bundle(), left], "shop")
    assert not found.is_proven
    assert "gru-old: a row is still stored" in found.lines[1]
    assert "run `thalweg retire gru-old` again" in found.lines[1]
    assert "thalweg worker" not in found.lines[1]
    assert "thalweg retire" not in judge([left._replace(holds_row=False)], "shop").lines[0]


def test_without_a_group_that_has_read_the_erasure_nothing_is_proven() -> None:
    assert not judge([bundle(has_passed=False)], "shop").is_proven
    assert not judge([bundle(workers=0, has_passed=False)], "shop").is_proven, "events may wait in the topic"
    nobody = judge([], "shop")
    assert (nobody.is_proven, nobody.is_final) == (False, True)
    assert "keyspace shop has no bundle" in nobody.lines[0]


def test_a_row_that_is_left_after_the_erasure_was_read_ends_the_wait() -> None:
    found = judge([bundle(holds_row=True)], "shop")
    assert (found.is_proven, found.is_final) == (False, True)
    assert "still stored, although group thalweg-gru-a has read past the erasure" in found.lines[0]
    assert "dead letter" in found.lines[0]


def test_a_group_must_have_passed_the_erasure_also_behind_an_open_transaction() -> None:
    """In partition 1, committed records end at 50, where the transaction begins, and the erasure stands at 53."""
    assert ends_behind({0: 7, 1: 50}, {1: 53}) == {0: 7, 1: 54}
    assert ends_behind({0: 7, 1: 54}, {1: 53}) == {0: 7, 1: 54}
