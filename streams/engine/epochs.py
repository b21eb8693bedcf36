"""Epochs of the behaviour topic: what a worker may read after partitions were added. Pure.

Adding partitions moves users to other partitions. Within an epoch (an incarnation of the topic with one partition
count) a user belongs to one partition; its events of the epoch before come first. So added partitions are held until
the group has committed what the old ones held at a *barrier*: their ends, `partition_handover_s` after the growth was
seen, when all producers have learned of it. Then the group rebalances, and all workers begin the new epoch together.

Guaranteed: with producers that learn of added partitions in time, and a count that grows by a multiple (4 to 8), every
event is applied once, in its user's order. Otherwise events of a user that stand in a partition it does not belong to
become dead letters, which `thalweg dlq --resend` sends again.
"""

import itertools
import uuid
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Epoch(NamedTuple):
    """A topic's incarnation and partition count; barrier: where the partitions of the epoch before ended."""

    number: int
    topic_id: uuid.UUID
    partitions: int
    barrier: tuple[int, ...]


class Reading(NamedTuple):
    """What a worker does now. `held`: partitions not to read yet; `barrier`: empty until it is known."""

    epoch: int
    comparable: frozenset[int]  # epochs of the same incarnation: their offsets mean the same records
    held: frozenset[int] = frozenset()
    barrier: tuple[int, ...] = ()


def reading(epochs: Sequence[Epoch], topic_id: uuid.UUID, partitions: int, passed: Mapping[int, int]) -> Reading | None:
    """What to read of a topic that has this id and partition count now; None where its first epoch is to be begun.

    epochs: all that are registered, in order; passed: by partition, the offset up to which the group is done.
    """
    ours = [epoch for epoch in epochs if epoch.topic_id == topic_id]
    if not ours:
        return None
    comparable = frozenset(epoch.number for epoch in ours)
    for before, after in itertools.pairwise(ours):  # one growth after the other, also for a group that begins anew
        if not is_behind(after.barrier, passed):
            return Reading(before.number, comparable, frozenset(range(before.partitions, partitions)), after.barrier)
    last = ours[-1]
    return Reading(last.number, comparable, frozenset(range(last.partitions, partitions)))


def is_behind(barrier: Sequence[int], passed: Mapping[int, int]) -> bool:
    """True where the group is done with everything up to the barrier."""
    return all(passed.get(partition, 0) >= end for partition, end in enumerate(barrier))
