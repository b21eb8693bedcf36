"""Where a backfill refuses, and what it steps before the next epoch."""

import uuid

import msgspec
import pytest

from streams.broker.topics import Topic
from streams.commands.backfill.plan import (
    Covered,
    check_beginning,
    check_from_beginning,
    check_hand_over,
    check_log,
    check_log_order,
    check_positions,
    passed_offsets,
    stage,
)
from streams.config.errors import InputError, StoreBehindError
from streams.engine.epochs import EpochView
from streams.store.positions.stored_positions import BEGINNING, Position, Positions


def topic(start: int = 0, end: int = 100, committed: int | None = None, partitions: int = 1) -> Topic:
    of_all = range(partitions)
    return Topic(
        name="events",
        topic_id=uuid.UUID(int=1),
        partitions=partitions,
        start_offsets=dict.fromkeys(of_all, start),
        stable_offsets=dict.fromkeys(of_all, end),
        end_offsets=dict.fromkeys(of_all, end),
        committed={} if committed is None else dict.fromkeys(of_all, committed),
    )


@pytest.mark.parametrize(
    ("at", "covered"),
    [
        (topic(), Covered(0, 80)),
        (topic(start=80), Covered(0, 80)),
        (topic(committed=80), Covered(0, 80)),
        (topic(start=20, committed=50), Covered(20, 80)),
        (topic(start=10, committed=50), Covered(30, 80)),  # The records up to 50 are applied already.
    ],
)
def test_archive_and_topic_join(at: Topic, covered: Covered) -> None:
    check_hand_over(at, {0: covered}, "folder")


@pytest.mark.parametrize(
    ("at", "covered", "why"),
    [
        (topic(start=81), {0: Covered(0, 80)}, "to 80 are in neither"),
        (topic(start=1), {}, "from offset 0 to 0 are in neither"),
        (topic(), {0: Covered(10, 80)}, "the topic still holds earlier records"),
        (topic(committed=81), {0: Covered(0, 80)}, "a backfill has nothing to do"),
        (topic(start=40, committed=20), {0: Covered(30, 80)}, "has these records"),
    ],
)
def test_records_between_archive_and_topic_are_refused(at: Topic, covered: dict[int, Covered], why: str) -> None:
    with pytest.raises(InputError, match=why):
        check_hand_over(at, covered, "folder")


def test_a_partition_beyond_the_archive_has_nothing_left_while_another_lags() -> None:
    """Workers have passed the archive in partition 0, and the topic has lost what they have read there."""
    at = msgspec.structs.replace(topic(partitions=2), committed={0: 95, 1: 20}, start_offsets={0: 90, 1: 10})
    covered = {0: Covered(0, 80), 1: Covered(0, 60)}
    check_hand_over(at, covered, "folder")
    assert stage(2, covered, at.committed, EpochView(0, frozenset([0]))) == {1: Covered(20, 60)}
    with pytest.raises(InputError, match="nothing to do"):
        check_hand_over(msgspec.structs.replace(at, committed={0: 95, 1: 61}), covered, "folder")


@pytest.mark.parametrize("committed", [50, 80])
def test_a_group_that_began_without_the_archive_on_a_cut_topic_is_refused(committed: int) -> None:
    """The group may have begun at any offset, and commits behind the archive's end say nothing of its beginning."""
    cut, covered = topic(start=20, committed=committed), {0: Covered(0, 80)}
    with pytest.raises(InputError, match=r"group thalweg-gru has read partition 0 of events without archive folder"):
        check_beginning(cut, covered, [], "folder", "thalweg-gru")
    check_beginning(cut, covered, [0], "folder", "thalweg-gru")


def test_a_group_has_the_whole_history_where_the_topic_has_its_beginning() -> None:
    check_beginning(topic(start=20, committed=50), {0: Covered(20, 80)}, [], "folder", "thalweg-gru")
    check_beginning(topic(start=20), {0: Covered(0, 80)}, [], "folder", "thalweg-gru")


FIRST, SECOND = EpochView(0, frozenset([0])), EpochView(1, frozenset([1]))  # of two incarnations of a topic


@pytest.mark.parametrize(
    ("at", "covered", "view", "has_rows"),
    [
        (topic(), Covered(0, 80), FIRST, True),  # the rows of a backfill that was killed
        (topic(start=20), Covered(20, 80), FIRST, False),
        (topic(committed=0), Covered(0, 80), SECOND, False),
    ],
)
def test_a_history_is_stepped_from_its_beginning(at: Topic, covered: Covered, view: EpochView, has_rows: bool) -> None:
    check_from_beginning(at, {0: covered}, view, has_rows, "folder")


@pytest.mark.parametrize(
    ("at", "covered", "view", "why"),
    [
        (topic(committed=50), Covered(0, 80), FIRST, "has rows up to offset 50"),
        (topic(start=20, committed=20), Covered(20, 80), FIRST, "has rows up to offset 20"),
        (topic(start=20), Covered(20, 80), FIRST, "may hold earlier history"),
        (topic(), Covered(0, 80), SECOND, "was deleted and made again"),
    ],
)
def test_history_that_only_rows_have_is_refused(at: Topic, covered: Covered, view: EpochView, why: str) -> None:
    with pytest.raises(InputError, match=why):
        check_from_beginning(at, {0: covered}, view, True, "folder")


def test_what_retention_has_deleted_is_not_passed() -> None:
    """Otherwise an added partition would be stepped before the history of its users in the earlier partitions."""
    cut = topic(start=80, partitions=3)
    assert passed_offsets(cut, {0: Covered(0, 80), 1: Covered(10, 80)}, {}) == {0: 0, 1: 10, 2: 80}
    assert passed_offsets(cut, {0: Covered(0, 80), 1: Covered(10, 80)}, {0: 50}) == {0: 50, 1: 10, 2: 80}


def test_a_stage_ends_at_the_barrier_of_the_next_epoch() -> None:
    covered = {0: Covered(0, 80), 1: Covered(0, 5), 2: Covered(0, 30), 3: Covered(0, 0)}
    held = EpochView(0, frozenset([0]), frozenset([2, 3]), (50, 10))
    assert stage(4, covered, {}, held) == {0: Covered(0, 50), 1: Covered(0, 5)}
    assert stage(4, covered, {0: 50, 1: 5}, held) == {}
    assert stage(4, covered, {0: 50, 1: 5}, EpochView(1, frozenset([0, 1]))) == {0: Covered(50, 80), 2: Covered(0, 30)}


def test_a_log_is_stepped_from_its_first_event() -> None:
    """Kafka holds no negative offset, so a backfill that was killed within the log has no commit."""
    covered = {0: Covered(-9, 80, 20), 1: Covered(-1, 0, 0)}
    at = topic(partitions=2)
    check_hand_over(at, covered, "folder")
    assert stage(2, covered, {}, FIRST) == {0: Covered(-9, 80), 1: Covered(-1, 0)}
    assert stage(2, covered, {0: 50, 1: 0}, FIRST) == {0: Covered(50, 80)}
    assert passed_offsets(at, covered, {}) == {0: -9, 1: -1}
    with pytest.raises(InputError, match="the rows may lack the events from offset -9 on"):
        check_beginning(topic(committed=30), {0: covered[0]}, [], "folder", "thalweg-gru")


def test_rows_begin_with_the_log_of_the_archive() -> None:
    for log in (None, "a"):
        check_log(topic(committed=30), log, log, True, "folder")
    check_log(topic(), None, "a", False, "folder")
    for at, has_rows in ((topic(committed=30), False), (topic(), True)):
        with pytest.raises(InputError, match="archive folder begins with a log, and the bundle has rows of events"):
            check_log(at, None, "a", has_rows, "folder")
    for log in (None, "b"):
        with pytest.raises(InputError, match="of a log of another archive than folder"):
            check_log(topic(), "a", log, True, "folder")


def test_a_log_in_partitions_that_were_added_later_is_refused() -> None:
    """Their users have records before the barrier in the earlier partitions, which would come before the log."""
    covered = {0: Covered(-9, 80, 20), 1: Covered(-9, 80, 0)}
    with_log = [EpochView(0, frozenset([0]), frozenset([1]), (21,)), EpochView(0, frozenset([0]), frozenset([1]))]
    for view in with_log:
        with pytest.raises(InputError, match=r"partitions \[1\] were added to the topic after the time"):
            check_log_order(view, covered)
        check_log_order(view, {0: covered[0], 1: Covered(0, 80)})
    check_log_order(EpochView(0, frozenset([0]), frozenset([1]), (20,)), covered)
    check_log_order(FIRST, covered)


def test_a_backfill_does_not_go_on_from_a_commit_that_the_rows_may_lack() -> None:
    """Its next commit would move the position, and no worker could notice that Cassandra was restored."""
    known = {0: Positions([Position(BEGINNING, 0, 0.0), Position(3, 50, 1_700_000_000.0)])}
    check_positions(topic(committed=50), known, "folder", "group")
    check_positions(topic(), {}, "folder", "group")
    with pytest.raises(StoreBehindError, match=r"up to offset 51, .*before offset 50.* --repair --archive folder"):
        check_positions(topic(committed=51), known, "folder", "group")
    with pytest.raises(StoreBehindError, match="before offset 0"):
        check_positions(topic(committed=51), {}, "folder", "group")
