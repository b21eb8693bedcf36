"""Epochs of the behaviour topic: what a worker may read after partitions were added. Pure.

Adding partitions moves users to other partitions. An epoch is an incarnation of the topic with one partition count.
Within an epoch a user belongs to one partition, and the user's events of the epoch before come first. So added
partitions are held until the group has committed what the old partitions held at a *barrier*. The barrier is where the
old partitions ended `partition_handover_s` after the growth was seen, when all producers have learned of the growth.
Then the group rebalances, and all workers begin the new epoch together.

Guaranteed: every event is applied once, in the order of its user's events, where producers learn of added partitions in
time and the partition count grows by a multiple (for example from 4 to 8). Otherwise some events stand in a partition
that their user does not belong to. These events become dead letters, and `thalweg dlq --resend` sends them again.
"""

import itertools
import uuid
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Epoch(NamedTuple):
    """An incarnation and partition count of a topic. barrier: where the partitions of the epoch before ended."""

    number: int
    topic_id: uuid.UUID
    partitions: int
    barrier: tuple[int, ...]


class EpochView(NamedTuple):
    """The epoch in which a group reads now, and what the group may not read yet."""

    epoch: int
    comparable: frozenset[int]  # epochs of the same incarnation, in which an offset means the same record
    held: frozenset[int] = frozenset()  # partitions not to read yet
    barrier: tuple[int, ...] = ()  # empty until the barrier is known
    began_at: tuple[int, ...] = ()  # where the partitions of the epoch before ended; empty in the first epoch

    @property
    def incarnation(self) -> int:
        """The first epoch of this incarnation of the topic, 0 for the first incarnation.

        Added partitions begin a new epoch and keep the incarnation. So a replay after the growth gives a record the id
        that the record had before.
        """
        return min(self.comparable)


def epoch_view(
    epochs: Sequence[Epoch], topic_id: uuid.UUID, partitions: int, passed: Mapping[int, int]
) -> EpochView | None:
    """What to read of a topic that has this id and this number of partitions now.

    epochs: all registered epochs of the topic, in order. passed: by partition, the offset before which the group has
    nothing left to read. Returns None where the first epoch of this topic id has yet to be registered.
    """
    ours = [epoch for epoch in epochs if epoch.topic_id == topic_id]
    if not ours:
        return None
    comparable = frozenset(epoch.number for epoch in ours)
    for before, after in itertools.pairwise(ours):  # A group that begins anew passes one growth after the other.
        if not has_passed(after.barrier, passed):
            held = frozenset(range(before.partitions, partitions))
            return EpochView(before.number, comparable, held, after.barrier, before.barrier)
    last = ours[-1]
    return EpochView(last.number, comparable, frozenset(range(last.partitions, partitions)), began_at=last.barrier)


def has_passed(barrier: Sequence[int], passed: Mapping[int, int]) -> bool:
    """True where the group has read everything before the barrier."""
    return all(passed.get(partition, 0) >= end for partition, end in enumerate(barrier))
