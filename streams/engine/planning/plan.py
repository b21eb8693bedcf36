"""The plan of a micro-batch: which events apply to which user's row, and what each event is to its user. Pure.

The rules of one record are simple, and they need the records before it. A loop over the records would cost more than
stepping. So the planner finds rare records (rejections, erasures, repeats, strays) by whole columns and settles them
one by one. Numpy does the rest by columns. See docs/decisions.md#planning-by-columns.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.data.contract.judge import DroppedField
from encoder.data.events import BehaviorEvent
from streams.engine.arena import Arena
from streams.engine.codec import Rejected, Skipped
from streams.engine.planning.candidates import CandidateEvents, Candidates, Erased, Part
from streams.engine.planning.expiry import begin_anew
from streams.engine.planning.repeats import digests, doubtful_rows, remember, repeats
from streams.engine.planning.rows import Rows
from streams.engine.planning.times import shifted, times
from streams.engine.planning.waves import Groups

Integers = NDArray[np.int64]


class AppliedEvents(msgspec.Struct, frozen=True, kw_only=True):
    """The applied events of a micro-batch as columns, part after part and in the order of the partition."""

    event: list[BehaviorEvent]
    line: Integers  # (n,) number of the event in its record, from 0; the events of a record stand side by side
    partition: Integers  # (n,)
    offset: Integers  # (n,)
    timestamp_ms: Integers  # (n,) of the record
    row: Integers  # (n,) the user's place in Rows
    groups: Groups  # the events grouped by `row`
    item: Integers  # (n,) index in the vocabulary, 0 for an unknown item
    action: Integers  # (n,) index in the vocabulary, 0 for an unknown action
    gap_ms: Integers  # (n,) time since the user's previous event, -1 for the user's first event
    steps: Integers  # (n,) events of the user that were applied before
    previous_item: NDArray[np.object_]  # (n,) str or None, the item of the user's previous event

    def records(self) -> int:
        """The number of records that the events stand in."""
        return int(np.count_nonzero(self.line == 0))


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A planned micro-batch. The rows are those after the batch."""

    rows: Rows
    applied: AppliedEvents
    rejected: list[tuple[Any, Rejected]]  # the record and the reason, by part and offset
    erased: list[Erased]  # in order
    already_applied: int  # records
    skipped: list[Skipped]  # records that are no events by the mapping
    dropped: list[DroppedField]  # optional fields that the events of the batch lost
    expired: int = 0  # histories that ended because their users stayed away too long

    def changed_rows(self) -> Integers:
        """(m,) int64, the indices of the rows to store."""
        return np.flatnonzero(self.rows.changed & ~self.rows.erased)

    def updated_rows(self) -> Integers:
        """(m,) int64, the indices of the rows to publish: those to store, and those whose records were replayed."""
        return np.flatnonzero((self.rows.changed | self.rows.replayed) & ~self.rows.erased)


class Planner:
    """Plans micro-batches against what an arena holds of their users."""

    def __init__(
        self, items: Mapping[str, int], actions: Mapping[str, int], arena: Arena, user_ttl_ms: int | None = None
    ) -> None:
        """items, actions: the index of each name in the vocabulary. Index 0 stands for every unknown name. user_ttl_ms:
        how long a user may stay away before the user's history expires, None without a limit.
        """
        self._items = items
        self._actions = actions
        self._arena = arena
        self._user_ttl_ms = user_ttl_ms

    def plan(self, parts: Sequence[Part]) -> Planned:
        """Plan these records as if part after part were applied alone."""
        candidates = Candidates(parts, self._arena)
        rows = candidates.rows
        candidates.reject_strays()
        replayed = candidates.offset <= rows.offset[candidates.row]
        candidates.drop_applied(replayed, replayed)
        expired = 0
        if self._user_ttl_ms is not None:
            expired = begin_anew(candidates, self._user_ttl_ms)
            rows = candidates.rows
        digest, groups = digests(candidates.outcome), Groups(candidates.row)
        if len(doubtful := doubtful_rows(rows, groups, candidates.offset, digest)):
            replayed, sent_twice = repeats(rows, doubtful, groups, candidates.offset, digest)
            repeated = replayed | sent_twice
            candidates.drop_applied(repeated, replayed)
            digest, groups = digest[~repeated], Groups(candidates.row)
        remember(rows.recent, candidates.row, groups, digest)
        events = candidates.events()
        applied = self._apply(rows, events, groups if len(events.row) == len(digest) else Groups(events.row))
        return Planned(
            rows=rows,
            applied=applied,
            rejected=candidates.rejections(),
            erased=candidates.erased,
            already_applied=candidates.already_applied,
            skipped=candidates.skipped,
            dropped=[one for part in parts for one in part.dropped],
            expired=expired,
        )

    def _apply(self, rows: Rows, events: CandidateEvents, groups: Groups) -> AppliedEvents:
        """Advance the rows by their events, and return the events as columns. groups: the events grouped by row."""
        event, row = events.event, events.row
        order, starts, touched = groups.order, groups.starts, groups.rows
        steps = rows.steps[row] + groups.occurrence
        time_ms = np.array([one.event_time_ms for one in event], np.int64)
        latest, gap_ms = times(time_ms, groups, rows.last_time_ms[touched], rows.steps[touched])
        names = [one.item_id for one in event]
        item_id = np.array(names, object)[order]
        previous_item = np.empty(len(event), object)
        previous_item[order] = shifted(item_id, starts, rows.last_item[touched])

        last = starts + groups.lengths - 1
        rows.steps[touched] += groups.lengths
        rows.offset[touched] = events.offset[order[last]]
        rows.last_time_ms[touched] = latest[last]
        if len(touched):
            newest_ms = np.maximum.reduceat(events.timestamp_ms[order], starts)
            rows.last_record_ms[touched] = np.maximum(rows.last_record_ms[touched], newest_ms)
        rows.last_item[touched] = item_id[last]
        rows.changed[touched] = True
        item, action = self._items.get, self._actions.get
        return AppliedEvents(
            event=event,
            line=events.line,
            partition=events.partition,
            offset=events.offset,
            timestamp_ms=events.timestamp_ms,
            row=row,
            groups=groups,
            item=np.array([item(name, 0) for name in names], np.int64),
            action=np.array([action(one.action, 0) for one in event], np.int64),
            gap_ms=gap_ms,
            steps=steps,
            previous_item=previous_item,
        )
