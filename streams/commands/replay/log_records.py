"""The rows of a log as records of the behaviour topic, in the order in which they are sent."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path

import msgspec

from encoder.data.contract.judge import judge_value
from encoder.data.contract.rejection import Rejection
from encoder.data.event_ids import UNNAMED, EqualEvents, content_id
from encoder.data.events import BehaviorEvent
from encoder.data.loaders import FORMATS, load_log
from encoder.data.loaders.formats import choose_format
from encoder.data.loaders.log_paths import common_format, log_paths
from encoder.data.loaders.row_batches import JudgedBatch, UnusableRow
from encoder.data.loaders.validation import validated_batches
from streams.commands.replay.time_order import RUN_RECORDS, TimedRecord, in_order_of_time
from streams.config.errors import InputError

# A log has an event among its first rows. Without this check, every row of a file of another kind would become a dead
# letter.
HEAD_ROWS = 1000
SHOWN_BYTES = 80  # bytes of a row in an error message
BEFORE_ALL_EVENTS_MS = -1  # the time of rows that are no events and stand before the first event


class LogRecords:
    """The rows of the files of a log as records (key, value) of the behaviour topic. The object is iterated once.

    JSON Lines of the event contract keep the order of the file, because such a file may hold late events on purpose.
    The rows of all other formats are in order of event time, as in a training. Rows of equal times keep the order of
    the file. A row that is not an event stays with the row before it.

    Duplicates are included, and so are rows that are not events, because these rows belong in the dead-letter topic.
    The key is the user id, or b"" when the row has no user id.

    moved: events that stand in the file behind an event of a later time, and that were sorted. late: events of JSON
    Lines that stand behind a later event of their user. skipped: lines that are no events by the mapping, which are not
    sent. The counts grow while the records are read.
    """

    def __init__(
        self,
        log: Path | str | Sequence[Path | str],
        format: str | None = None,
        columns: str | None = None,
        first: float | None = None,
        rest: float | None = None,
        run_records: int = RUN_RECORDS,
        mapping: str | None = None,
    ) -> None:
        """log, format, columns, mapping: as for `load_log`. run_records: how many records are sorted in memory.

        first, rest: keep the rows before or from the time that `load_log(...).cut_ms(fraction)` returns.

        Raises InputError when the file is unreadable, or when none of its first HEAD_ROWS rows is an event.
        """
        if first is not None and rest is not None:
            raise InputError(f"both a first ({first}) and a rest ({rest}) of {log}: give one of them")
        paths = log_paths(log)
        unread_twice = [path for path in paths if path.exists() and not path.is_file()]
        if (first, rest) != (None, None) and unread_twice:
            raise InputError(
                f"a part of a log needs two passes over the log, and {unread_twice[0]} is no file that can be read "
                "twice: write the log to a file first, or leave out --first and --rest"
            )
        self.moved = 0
        self.late = 0
        self._source = common_format(paths, format)
        self.skipped = 0
        self._log = partial(load_log, paths, self._source, columns, mapping=mapping)
        self._fraction = rest if first is None else first
        self._is_rest_wanted = rest is not None
        self._run_records = run_records
        log_format = choose_format(paths[0], self._source, columns, mapping)
        self.keeps_file_order = log_format.rows_are_records
        batches = validated_batches(log_format, paths[0])
        head = list(islice(batches, 1))
        for batch in head:
            _check_head(batch, paths[0], self._source)
        others = (validated_batches(log_format, path) for path in paths[1:])
        self._batches = self._count_skipped(chain(head, batches, chain.from_iterable(others)))

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        if self.keeps_file_order:
            return ((record.key, record.value) for record in self._in_file_order())
        return self._in_time_order()

    def _count_skipped(self, batches: Iterable[JudgedBatch]) -> Iterator[JudgedBatch]:
        for batch in batches:
            self.skipped += len(batch.skipped)
            yield batch

    def _in_file_order(self) -> Iterator[TimedRecord]:
        """Yield the wanted rows of a file whose rows are records, and count late events."""
        latest_ms: dict[bytes, int] = {}
        for record, is_event in self._wanted_records():
            if is_event:
                if record.time_ms < (latest := latest_ms.get(record.key, record.time_ms)):
                    self.late += 1
                latest_ms[record.key] = max(latest, record.time_ms)
            yield record

    def _in_time_order(self) -> Iterator[tuple[bytes, bytes]]:
        equal_events = EqualEvents()
        for record in in_order_of_time(self._counted_records(), self._run_records):
            value = record.value
            if record.content_id is not None:
                event_id = equal_events.unique_id(record.content_id, record.time_ms)
                if event_id != record.content_id:
                    event = msgspec.json.decode(value, type=BehaviorEvent)
                    value = msgspec.json.encode(msgspec.structs.replace(event, event_id=event_id))
            yield record.key, value

    def _counted_records(self) -> Iterator[TimedRecord]:
        """Yield the wanted rows, and count the events that are earlier than an event before them."""
        latest_ms = BEFORE_ALL_EVENTS_MS
        for record, _ in self._wanted_records():
            if record.time_ms < latest_ms:
                self.moved += 1
            else:
                latest_ms = record.time_ms
            yield record

    def _wanted_records(self) -> Iterator[tuple[TimedRecord, bool]]:
        """Yield the rows in the order of the file, each with whether it is an event."""
        cut_ms = None if self._fraction is None else self._log(for_model=True)[0].cut_ms(self._fraction)
        for record, is_event in _records(self._batches, self._source, self.keeps_file_order):
            if cut_ms is None or (record.time_ms >= cut_ms) == self._is_rest_wanted:
                yield record, is_event


def _records(batches: Iterable[JudgedBatch], source: str, rows_are_records: bool) -> Iterator[tuple[TimedRecord, bool]]:
    time_ms = BEFORE_ALL_EVENTS_MS
    encode = msgspec.json.Encoder().encode
    for batch in batches:
        for raw, event in zip(batch.raw, batch.events, strict=True):
            if isinstance(event, UnusableRow):
                value = raw if rows_are_records else _never_an_event(raw)
                yield TimedRecord(time_ms, event.user_id.encode(), value), False
                continue
            time_ms = event.event_time_ms
            key = event.user_id.encode()
            if rows_are_records:
                yield TimedRecord(time_ms, key, raw), True
            elif event.event_id != UNNAMED:
                yield TimedRecord(time_ms, key, encode(event)), True
            else:
                made_id = content_id(source, event.user_id, event.item_id, event.action, time_ms)
                named = msgspec.structs.replace(event, event_id=made_id)
                yield TimedRecord(time_ms, key, encode(named), made_id), True


def _never_an_event(raw: bytes) -> bytes:
    """The raw row, in a form that no worker takes for an event.

    A row can be unusable under a column mapping although its JSON, read without the mapping, is an event.
    """
    return raw if isinstance(judge_value(raw).outcome, Rejection) else b'{"unusable_row":%b}' % raw


def _check_head(batch: JudgedBatch, path: Path | str, format_name: str) -> None:
    head = batch.events[:HEAD_ROWS]
    first = head[0]
    if isinstance(first, UnusableRow) and all(isinstance(event, UnusableRow) for event in head):
        shown = ascii(batch.raw[0][:SHOWN_BYTES].decode(errors="backslashreplace"))
        raise InputError(
            f"{path} is not a log of format {format_name}: none of its first {len(head)} rows is an event; "
            f"line {batch.lines[0]} is {shown}: {first.reason}; check the file, or name its format with --format "
            f"({', '.join(FORMATS)})"
        )
