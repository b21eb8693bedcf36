"""Sorts the events of a log by partition and time within a bounded memory, and leaves out events that come twice.

While the log is read, RUN_EVENTS events are in memory. They are sorted and written to a temporary file in chunks, each
of one partition. The merge of a partition loads the chunks in the order of their first time. Everything before the
first time of the next chunk is complete. So the memory of the merge holds the chunks that overlap in time: one of a log
in order of time, and one of each run of a log in another order.

Event ids are compared through their hashes, which are divided among files by their first byte.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from encoder.data.event_ids import EqualEvents, content_id
from encoder.data.events import BehaviorEvent
from export.point_in_time.record_files import RecordFiles
from export.point_in_time.records import key_bytes
from streams.archive.columns import ArchivedRecord, to_batch
from streams.commands.archive.log.identity import (
    IDENTITY,
    Identities,
    has_id,
    identities_by_content,
    identities_by_id,
)
from streams.config.errors import InputError

RUN_EVENTS = 200_000  # about 200 MB
CHUNK_EVENTS = 8_192
YIELDED_ROWS = 65_536
ID_FILES = 64  # A file of a log of 100,000,000 events has 1,600,000 ids of 29 bytes.
_NUMBERED = np.dtype([("identity", IDENTITY), ("row", np.int64), ("partition", np.int32), ("has_id", np.bool_)])
_ROW, _HAS_ID = "row", "has_id"


class _Chunk(NamedTuple):
    """Events of a partition in order, in the bytes from `at` to before `end` of the temporary file."""

    first_ms: int
    at: int
    end: int


class LeftOut(NamedTuple):
    """Events that the merge leaves out. duplicates: of an earlier row of the log. in_topic: the topic has them too."""

    duplicates: int
    in_topic: int


class EventRuns:
    """The events of a log in temporary files. First `add`, then `finish`, and then `tables` of each partition."""

    def __init__(
        self, folder: Path, source: str, partition_of: Callable[[str], int], stored_id: Callable[[str], str]
    ) -> None:
        """folder: an empty one, which gets about 100 bytes for each event. source: the prefix of the ids of events
        without an id. partition_of: by the plain user id. stored_id: what stands for the plain user id in the archive.
        """
        self._file = (folder / "events").open("w+b")
        self._ids = RecordFiles(folder / "ids", _NUMBERED)
        self._source = source
        self._partition_of = partition_of
        self._stored_id = stored_id
        self._waiting: list[BehaviorEvent] = []
        self._row = 0
        self._chunks: defaultdict[int, list[_Chunk]] = defaultdict(list)
        self._left_out = np.empty(0, np.int64)  # rows of the log, ascending
        self.counts: Counter[int] = Counter()  # by partition, the events that `tables` gives

    def add(self, events: Sequence[BehaviorEvent]) -> None:
        """Add the next rows of the log. Raises InputError where the temporary files cannot be written."""
        self._waiting += events
        if len(self._waiting) >= RUN_EVENTS:
            self._write_run()

    def finish(self, by_id: Identities, by_content: Identities) -> LeftOut:
        """Leave out the events that the topic has too, and all but the first row of an event that comes twice.

        by_id, by_content: of the topic's events, ascending. Raises InputError as `add` does.
        """
        self._write_run()
        left_out = [np.empty(0, np.int64)]
        duplicates = in_topic = 0
        for number in range(ID_FILES):
            rows = self._ids.take(number)
            rows = rows[np.lexsort((rows["row"], rows["identity"]))]
            is_same = np.zeros(len(rows), np.bool_)
            is_same[1:] = rows["identity"][1:] == rows["identity"][:-1]
            is_in_topic = np.where(rows["has_id"], _isin(rows["identity"], by_id), _isin(rows["identity"], by_content))
            is_duplicate = is_same & rows["has_id"] & ~is_in_topic
            in_topic += int(is_in_topic.sum())
            duplicates += int(is_duplicate.sum())
            gone = rows[is_in_topic | is_duplicate]
            left_out.append(gone["row"])
            self.counts.subtract(gone["partition"].tolist())
        self._left_out = np.sort(np.concatenate(left_out))
        return LeftOut(duplicates, in_topic)

    def tables(self, partition: int) -> Iterator[pa.Table]:
        """The events of a partition in order of time, those of equal times in the order of the log.

        The tables have the columns of `streams.archive.schema`, without the position of the record.
        """
        equal_events = EqualEvents()
        for table in self._in_order(partition):
            for at in range(0, table.num_rows, YIELDED_ROWS):
                yield self._finished(table.slice(at, YIELDED_ROWS), equal_events)

    def close(self) -> None:
        self._file.close()

    def _write_run(self) -> None:
        events, self._waiting = self._waiting, []
        if not events:
            return
        rows = np.arange(self._row, self._row + len(events))
        self._row += len(events)
        users = {user_id: self._partition_of(user_id) for user_id in {one.user_id for one in events}}
        partition = np.array([users[one.user_id] for one in events], np.int32)
        self.counts.update(partition.tolist())
        try:
            self._write_ids(events, rows, partition)
            self._write_chunks(events, rows, partition)
            self._file.flush()
        except OSError as error:
            raise InputError(
                f"the temporary files that sort the log cannot be written: {error}; name a folder that has room for "
                "about 100 bytes for each event with TMPDIR"
            ) from None

    def _write_ids(
        self, events: Sequence[BehaviorEvent], rows: NDArray[np.int64], partition: NDArray[np.int32]
    ) -> None:
        numbered = np.empty(len(events), _NUMBERED)
        numbered["row"], numbered["partition"] = rows, partition
        numbered["has_id"] = named = np.array([has_id(one) for one in events])
        numbered["identity"][named] = identities_by_id(one for one in events if has_id(one))
        numbered["identity"][~named] = identities_by_content(one for one in events if not has_id(one))
        self._ids.add(key_bytes(numbered["identity"])[:, 0] % ID_FILES, numbered)

    def _write_chunks(
        self, events: Sequence[BehaviorEvent], rows: NDArray[np.int64], partition: NDArray[np.int32]
    ) -> None:
        time_ms = np.array([one.event_time_ms for one in events], np.int64)
        order = np.lexsort((time_ms, partition))  # stable, so rows of equal times keep their order
        table = self._table([events[at] for at in order.tolist()], rows[order])
        partition, time_ms = partition[order], time_ms[order]
        starts = [*np.flatnonzero(np.diff(partition, prepend=-1)).tolist(), len(events)]
        for begin, end in pairwise(starts):
            for at in range(begin, end, CHUNK_EVENTS):
                part = table.slice(at, min(CHUNK_EVENTS, end - at))
                place = self._file.tell()
                with pa.ipc.new_stream(self._file, part.schema, options=_COMPRESSED) as stream:
                    stream.write_table(part)
                self._chunks[int(partition[begin])].append(_Chunk(int(time_ms[at]), place, self._file.tell()))

    def _table(self, events: Sequence[BehaviorEvent], rows: NDArray[np.int64]) -> pa.Table:
        """The events as they are stored, with the row of the log and whether the log names the event."""
        batch = to_batch(
            "", 0, [ArchivedRecord(-1, one.event_time_ms) for one in events], [self._stored(one) for one in events]
        )
        columns = {
            name: column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
            if name not in ("topic", "partition", "offset", "line")
        }
        return pa.table(columns | {_ROW: rows, _HAS_ID: [has_id(one) for one in events]})

    def _stored(self, event: BehaviorEvent) -> BehaviorEvent:
        user_id = self._stored_id(event.user_id)
        event_id = event.event_id
        if not has_id(event):
            event_id = content_id(self._source, user_id, event.item_id, event.action, event.event_time_ms)
        return BehaviorEvent(
            event_id=event_id,
            user_id=user_id,
            item_id=event.item_id,
            action=event.action,
            event_time_ms=event.event_time_ms,
            session_id=event.session_id,
            category=event.category,
            price=event.price,
            attributes=event.attributes,
        )

    def _in_order(self, partition: int) -> Iterator[pa.Table]:
        chunks = sorted(self._chunks[partition], key=lambda one: one.first_ms)
        waiting: list[pa.Table] = []
        count = kept = 0
        for chunk, following in zip(chunks, [*chunks, None][1:], strict=True):
            waiting.append(self._load(chunk))
            count += waiting[-1].num_rows
            if following is not None and count < 2 * kept:
                continue  # A sort that takes few new rows would take the others again and again.
            table = pa.concat_tables(waiting).sort_by([("event_time_ms", "ascending"), (_ROW, "ascending")])
            time_ms = table.column("event_time_ms").to_numpy()
            ready = len(time_ms) if following is None else int(np.searchsorted(time_ms, following.first_ms))
            yield table.slice(0, ready)
            kept = count = len(time_ms) - ready
            waiting = [table.slice(ready)]

    def _load(self, chunk: _Chunk) -> pa.Table:
        self._file.seek(chunk.at)
        table = pa.ipc.open_stream(self._file.read(chunk.end - chunk.at)).read_all()
        if not len(self._left_out):
            return table
        return table.filter(pa.array(~_isin(table.column(_ROW).to_numpy(), self._left_out)))

    def _finished(self, table: pa.Table, equal_events: EqualEvents) -> pa.Table:
        """Equal events without an id get different ids."""
        has_ids = table.column(_HAS_ID).to_numpy()
        if not has_ids.all():
            ids, times = table.column("event_id").to_pylist(), table.column("event_time_ms").to_pylist()
            ids = [
                one if named else equal_events.unique_id(one, time_ms)
                for one, time_ms, named in zip(ids, times, has_ids.tolist(), strict=True)
            ]
            at = table.schema.get_field_index("event_id")
            table = table.set_column(at, "event_id", pa.array(ids, pa.string()))
        return table.drop_columns([_ROW, _HAS_ID])


_COMPRESSED = pa.ipc.IpcWriteOptions(compression="lz4")


def _isin(values: NDArray[Any], known: NDArray[Any]) -> NDArray[np.bool_]:
    """(n,) which values are among the known ones, which ascend."""
    if not len(known):
        return np.zeros(len(values), np.bool_)
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found: NDArray[np.bool_] = known[at] == values
    return found
