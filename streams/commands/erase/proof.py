"""Where an erasure must stand, and what proves that a bundle has forgotten the user. Pure.

A worker erases a user in order with the user's events, and commits after the deletion of the row is confirmed. So a
bundle has forgotten the user once its consumer group has read everything that the topic held when the erasure had been
sent, and no row of the user from before the erasure is left.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from streams.engine.epochs import Epoch
from streams.engine.state_cell import StoredPosition
from streams.store.bundles.held_rows import HeldRow


class Incarnation(NamedTuple):
    """The epochs of the topic as it is now, in order. Epochs of a deleted topic of the same name are left out."""

    epochs: tuple[Epoch, ...]

    @classmethod
    def of(cls, epochs: Sequence[Epoch], topic_id: uuid.UUID) -> "Incarnation":
        return cls(tuple(epoch for epoch in epochs if epoch.topic_id == topic_id))

    def partitions_of(self, rows: Collection[HeldRow], partitions: int, by_rule: Collection[int]) -> list[int]:
        """The partitions to which the erasure goes: where rows of the last epoch are stored, or else the rule's.

        partitions: of the topic now. by_rule: where producers may put the user's events. While added partitions are not
        read yet, the user's next events stand in the rule's partitions, so the erasure goes there too.
        """
        last = self.epochs[-1] if self.epochs else None
        found = {
            row.position.partition
            for row in rows
            if last is not None and row.position is not None and row.position.epoch >= last.number
        }
        if last is None or not found or last.partitions != partitions:
            found.update(by_rule)
        return sorted(found)

    def is_after(self, position: StoredPosition | None, sent: Mapping[int, int]) -> bool:
        """True for a row that began after the erasure. sent: the erasure's offset, by partition."""
        if position is None or position.epoch not in {epoch.number for epoch in self.epochs}:
            return False
        return position.partition in sent and position.offset > sent[position.partition]


class Bundle(NamedTuple):
    """What is known of one bundle at one moment. has_passed: its group has read everything up to the erasure."""

    bundle_id: str
    group_id: str
    workers: int
    has_passed: bool
    holds_row: bool  # from before the erasure
    is_retired: bool = False  # a retirement has begun at least; no worker serves the bundle any more


class Verdict(NamedTuple):
    """What the moment proves. is_final: waiting longer changes nothing.

    unread: the bundles without workers and without a row that may store the user before they read the erasure. A
    backfill under way may hold the user in memory, and workers that start later read the user's events.
    """

    is_proven: bool
    is_final: bool
    lines: tuple[str, ...]  # one for each bundle
    unread: tuple[str, ...] = ()


def ends_behind(stable: Mapping[int, int], sent: Mapping[int, int]) -> dict[int, int]:
    """By partition, the offset that a group must have passed: the end of the committed records, and the erasure.

    stable: where the committed records ended when the erasure had been sent. sent: the erasure's offset, by partition.
    The erasure may stand behind the beginning of an open transaction, where committed records end before the erasure.
    """
    return {partition: max(end, sent.get(partition, -1) + 1) for partition, end in stable.items()}


def judge(bundles: Sequence[Bundle], keyspace: str) -> Verdict:
    """Whether every bundle has forgotten the user.

    A bundle without workers and without a row is not waited for, because nobody may ever start its workers. At least
    one group must have read the erasure, because events of a user without a row may still wait in the topic.
    """
    if not bundles:
        return Verdict(False, True, (no_bundle(keyspace),))
    waiting = [one for one in bundles if not one.has_passed and (one.holds_row or one.workers)]
    kept = [one for one in bundles if one.has_passed and one.holds_row]
    is_read = any(one.has_passed for one in bundles)
    return Verdict(
        is_proven=is_read and not waiting and not kept,
        is_final=is_read and not waiting,
        lines=tuple(_line(one) for one in sorted(bundles)),
        unread=tuple(
            one.bundle_id
            for one in sorted(bundles)
            if not (one.has_passed or one.holds_row or one.workers or one.is_retired)
        ),
    )


def no_bundle(keyspace: str) -> str:
    """Why nothing can be proven in a keyspace without any bundle."""
    return f"keyspace {keyspace} has no bundle: no worker has run with this keyspace"


def _line(one: Bundle) -> str:
    if one.has_passed and not one.holds_row:
        return f"{one.bundle_id}: forgotten, group {one.group_id} has read past the erasure and no row is stored"
    if one.has_passed:
        return (
            f"{one.bundle_id}: a row is still stored, although group {one.group_id} has read past the erasure; "
            "`thalweg dlq` shows whether the erasure became a dead letter"
        )
    row = "a row is still stored" if one.holds_row else "no row is stored"
    if one.workers:
        return f"{one.bundle_id}: {row}, and group {one.group_id} has not read up to the erasure yet"
    if one.holds_row and one.is_retired:
        return f"{one.bundle_id}: {row}, and the bundle was retired; run `thalweg retire {one.bundle_id}` again"
    if one.holds_row:
        return (
            f"{one.bundle_id}: {row}, and group {one.group_id} has no worker; start `thalweg worker` with this bundle "
            "until it has read up to the erasure"
        )
    if one.is_retired:
        return f"{one.bundle_id}: {row}, and the bundle was retired"
    return f"{one.bundle_id}: {row}, and group {one.group_id} has no worker"
