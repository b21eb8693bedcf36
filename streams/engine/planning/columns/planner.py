"""The plan of a block: which of its events are stepped by columns, and what they change of their users. Pure."""

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.runtime.inputs import StepInputs
from streams.engine.arena import NO_OFFSET, RECENT, UNKNOWN_MS, Arena
from streams.engine.planning.columns.block import Block, Digests, Flags, Integers
from streams.engine.planning.columns.lanes import Lane, lanes_of
from streams.engine.planning.rows import NO_SLOT
from streams.engine.planning.times import times
from streams.engine.planning.waves import Groups

_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: neighbouring users get numbers that are far apart


class PlannedBlock(msgspec.Struct, frozen=True, kw_only=True):
    """A planned block. The arena holds the users after the block already, except for their states.

    inputs: of the events in the order of steps. slot: (u,) int64, of the users of the lanes, lane after lane. rare: the
    rows of the users whose records a `Processor` takes. replayed: records of the other users that came again.
    """

    lanes: list[Lane]
    slot: Integers
    inputs: StepInputs
    rare: Integers
    events: int
    replayed: int

    def slots_of(self, lane: Lane) -> Integers:
        """(u,) int64, the slots of the lane's users."""
        return self.slot[lane.groups]


class BlockPlanner:
    """Plans blocks against what an arena holds of their users. The arena has a free slot for each new user."""

    def __init__(
        self,
        arena: Arena,
        unsaved: Flags,
        initial_state: NDArray[np.float32],
        threads: int,
        user_ttl_ms: int | None = None,
    ) -> None:
        """unsaved: (capacity,) bool, the slots whose row is to be written. threads: lanes that are stepped at once.
        user_ttl_ms: as of `streams.engine.planning.plan.Planner`.
        """
        self._arena = arena
        self._unsaved = unsaved
        self._initial_state = initial_state
        self._threads = threads
        self._user_ttl_ms = user_ttl_ms

    def plan(self, block: Block, sequence: int) -> PlannedBlock:
        """Plan the block, and advance its users. sequence: the number of the block, for the order of evictions."""
        arena = self._arena
        slot = arena.slots(block.user_ids)
        is_known = slot != NO_SLOT
        last_offset = np.where(is_known, arena.offset[slot], NO_OFFSET)
        replayed = block.offset <= last_offset[block.user]
        is_rare = self._rare_users(block, slot, replayed)
        rare = np.flatnonzero(is_rare[block.user])
        is_new = ~is_rare[block.user] & ~replayed
        rows = np.flatnonzero(is_new) if len(rare) or replayed.any() else np.arange(len(block))
        arena.last_used[slot[is_known]] = sequence
        repeated = np.flatnonzero(replayed & ~is_rare[block.user])
        # Nobody knows whether the update of a replayed record was published, so the row is written and published again.
        self._unsaved[slot[block.user[repeated]]] = True
        groups = Groups(block.user[rows])
        self._allocate(block, slot, groups.rows, sequence)
        time_ms = block.time_ms[rows]
        of_users = slot[groups.rows]
        latest, gap_ms = times(time_ms, groups, arena.last_time_ms[of_users], arena.steps[of_users])
        self._advance(block, rows, groups, of_users, latest)
        lanes, order = lanes_of(groups, self._threads)
        at = rows[order]
        inputs = StepInputs(
            item=block.item_index[at],
            action=block.action_index[at],
            gap_ms=gap_ms[order],
            features={name: values[at] for name, values in block.features.items()},
        )
        return PlannedBlock(
            lanes=lanes,
            slot=of_users,
            inputs=inputs,
            rare=rare,
            events=len(rows),
            replayed=int(np.count_nonzero(block.is_first[repeated])),
        )

    def _rare_users(self, block: Block, slot: Integers, replayed: Flags) -> Flags:
        """(u,) bool, the users with an erasure, a stray, an expired history, or an id that may have come before."""
        arena = self._arena
        is_rare: Flags = (slot != NO_SLOT) & (arena.partition[slot] != block.partition)
        is_rare[block.user[block.is_erasure]] = True
        is_candidate = block.is_first & ~block.is_erasure & ~replayed
        user, digest = block.user, block.digest
        if not is_candidate.all():
            user, digest = user[is_candidate], digest[is_candidate]
        known = np.flatnonzero(slot != NO_SLOT)
        recent = arena.recent[slot[known]]
        owner = np.repeat(known, RECENT)[recent.ravel() != 0]
        ids = np.concatenate([_mixed(digest, user), _mixed(recent[recent != 0], owner)])
        in_order = np.sort(ids)
        twice = in_order[1:][in_order[1:] == in_order[:-1]]
        if len(twice):
            users = np.concatenate([user, owner])
            is_rare[users[np.isin(ids, twice)]] = True
        if self._user_ttl_ms is not None:
            rows = np.flatnonzero(~is_rare[block.user] & ~replayed)
            is_rare[block.user[rows[self._gap_ms(block, rows, slot) > self._user_ttl_ms]]] = True
        return is_rare

    def _gap_ms(self, block: Block, rows: Integers, slot: Integers) -> Integers:
        """(n,) int64, how long the user of each of these n rows had stayed away (`streams.engine.planning.expiry`).

        rows: all rows of some users, who apply each of these rows.
        """
        groups = Groups(block.user[rows])
        of_users = slot[groups.rows]
        latest_ms = np.where(of_users == NO_SLOT, UNKNOWN_MS, self._arena.last_record_ms[of_users])
        return times(block.record_ms[rows], groups, latest_ms, (latest_ms != UNKNOWN_MS).astype(np.int64))[1]

    def _allocate(self, block: Block, slot: Integers, users: Integers, sequence: int) -> None:
        """Give a slot to each of these users who has none, and enter the slot in `slot`."""
        arena = self._arena
        new = users[slot[users] == NO_SLOT]
        slots = [arena.allocate(block.user_ids[user]) for user in new.tolist()]
        slot[new] = slots
        arena.state[slots] = self._initial_state
        arena.partition[slots] = block.partition
        arena.steps[slots] = 0
        arena.recent[slots] = 0
        arena.last_record_ms[slots] = UNKNOWN_MS
        arena.last_used[slots] = sequence

    def _advance(self, block: Block, rows: Integers, groups: Groups, slot: Integers, latest: Integers) -> None:
        """Enter what the events change of their users, except for the states. slot: (g,) of each group."""
        arena, last = self._arena, groups.starts + groups.lengths - 1
        final = rows[groups.order[last]]
        arena.steps[slot] += groups.lengths
        arena.offset[slot] = block.offset[final]
        arena.last_time_ms[slot] = latest[last]
        if len(rows):
            newest_ms = np.maximum.reduceat(block.record_ms[rows[groups.order]], groups.starts)
            arena.last_record_ms[slot] = np.maximum(arena.last_record_ms[slot], newest_ms)
        self._unsaved[slot] = True
        arena.set_last_items(slot, block.items[block.item[final]].tolist())
        is_first = block.is_first[rows]
        if not is_first.all():
            rows = rows[is_first]
            groups = Groups(block.user[rows])  # of the same users, because each record has a first event
        arena.recent[slot] = _remembered(arena.recent[slot], groups, block.digest[rows[groups.order]])


def _mixed(digest: Digests, user: Integers) -> Digests:
    """Numbers that are equal for equal ids of one user, and for other ids by chance alone.

    Producers may number the events of each user, so the ids of different users may be equal.
    """
    mixed: Digests = digest ^ (user.astype(np.uint64) * _SPREAD)
    return mixed


def _remembered(recent: Digests, groups: Groups, digest: Digests) -> Digests:
    """The last RECENT hashes of each group: (g, RECENT) before, and those of the records, (n,) in grouped order."""
    after, end = np.empty_like(recent), groups.starts + groups.lengths
    for place in range(RECENT):
        back = RECENT - place  # the record at this place, counted from the last one, which is 1
        is_new = back <= groups.lengths
        after[is_new, place] = digest[end[is_new] - back]
        is_old = ~is_new
        after[is_old, place] = recent[is_old, (place + groups.lengths)[is_old]]
    return after
