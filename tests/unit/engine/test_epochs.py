"""Which partitions of a topic are read after partitions were added or the topic was created again."""

import uuid

from streams.engine.epochs import Epoch, EpochView, epoch_view

NOW, BEFORE = uuid.uuid4(), uuid.uuid4()
FIRST = Epoch(3, NOW, 2, ())
NONE: dict[int, int] = {}


def test_a_new_topic_needs_a_new_epoch() -> None:
    assert epoch_view([Epoch(0, BEFORE, 4, ())], NOW, 2, NONE) is None


def test_offsets_of_a_topic_that_was_created_again_are_not_comparable() -> None:
    assert epoch_view([Epoch(0, BEFORE, 2, ()), FIRST], NOW, 2, NONE) == EpochView(3, frozenset([3]))


def test_added_partitions_are_held_until_the_group_has_passed_the_barrier() -> None:
    grown = EpochView(3, frozenset([3]), frozenset([2, 3]))
    assert epoch_view([FIRST], NOW, 4, {0: 10**9, 1: 10**9}) == grown
    epochs = [FIRST, Epoch(4, NOW, 4, (10, 20))]
    held = EpochView(3, frozenset([3, 4]), frozenset([2, 3]), (10, 20))
    assert epoch_view(epochs, NOW, 4, {0: 10, 1: 19}) == held
    assert epoch_view(epochs, NOW, 4, {0: 10}) == held
    assert epoch_view(epochs, NOW, 4, {0: 11, 1: 20}) == EpochView(4, frozenset([3, 4]), began_at=(10, 20))


def test_partitions_that_are_added_again_are_held() -> None:
    epochs = [FIRST, Epoch(4, NOW, 4, (10, 20))]
    again = EpochView(4, frozenset([3, 4]), frozenset([4, 5, 6, 7]), began_at=(10, 20))
    assert epoch_view(epochs, NOW, 8, {0: 99, 1: 99}) == again


def test_a_new_group_passes_the_barriers_one_after_the_other() -> None:
    epochs = [FIRST, Epoch(4, NOW, 4, (10, 20)), Epoch(5, NOW, 8, (11, 21, 3, 4))]
    all_of_it = frozenset([3, 4, 5])
    assert epoch_view(epochs, NOW, 8, NONE) == EpochView(3, all_of_it, frozenset([2, 3, 4, 5, 6, 7]), (10, 20))
    between = EpochView(4, all_of_it, frozenset([4, 5, 6, 7]), (11, 21, 3, 4), (10, 20))
    assert epoch_view(epochs, NOW, 8, {0: 10, 1: 20}) == between
    passed = {0: 11, 1: 21, 2: 3, 3: 4}
    assert epoch_view(epochs, NOW, 8, passed) == EpochView(5, all_of_it, began_at=(11, 21, 3, 4))


def test_partitions_that_wait_for_a_barrier_still_wait_after_the_topic_has_grown_again() -> None:
    epochs = [FIRST, Epoch(4, NOW, 4, (10, 20))]
    held = frozenset([2, 3, 4, 5, 6, 7])
    assert epoch_view(epochs, NOW, 8, {0: 10, 1: 19}) == EpochView(3, frozenset([3, 4]), held, (10, 20))
