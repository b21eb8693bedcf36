"""A compiled mapping: reads decoded records as the fields of events. Pure, and raises nothing for bad input."""

from collections.abc import Callable
from typing import Any

from encoder.data.contract.incoming_event import IncomingEvent
from encoder.data.contract.judge import DroppedField, judge_fields
from encoder.data.contract.rejection import Rejection
from encoder.data.mapping.functions import line_function, record_function, source_function
from encoder.data.mapping.plan import Plan
from encoder.data.mapping.records import Skipped, SourceRecord
from encoder.data.mapping.sources.source import text_of
from encoder.data.mapping.sources.writer import ReadPaths
from encoder.data.mapping.value_type import value_type

Fields = dict[str, Any]  # the fields of an event before the judge


class Mapping:
    """Reads records as events. One record may give several events, none, or a rejection of the whole record.

    The lines of a record get the ids `ID#1`, `ID#2` and so on by their places in the list, unless the id of the mapping
    is one of a line. Lines with a dropped action are left out. If one line is rejected, so is the record, with the
    number of the line in the reason.
    """

    def __init__(self, name: str, fingerprint: str, plan: Plan) -> None:
        """fingerprint: 16 hexadecimal digits that tell mappings with different results apart.

        read_at_once takes the parts of a `SourceRecord`. It returns the event of a plain record or what `finish` takes.

        value_type is a type for msgspec. A value that is decoded to this type gives the events of the whole value.
        Where the value has another shape, or is rejected, the whole value must be decoded.
        """
        self.name = name
        self.fingerprint = fingerprint
        self.plan = plan
        self._fields_of_record = record_function(plan, is_judged=False)
        paths: ReadPaths = set()
        self.read_at_once = record_function(plan, is_judged=True, paths=paths)
        self._fields_of_line = line_function(plan, is_judged=False)
        self._event_of_line = line_function(plan, is_judged=True, paths=paths)
        self.value_type = _value_type(plan, paths)
        self._user_of = source_function(plan.user)
        self._user = self._user_of if "key" in plan.user.places else None

    def read(self, record: SourceRecord) -> tuple[Fields, ...] | Skipped | Rejection:
        """The fields of the record's events in order, ready for `judge_fields`."""
        read: Any = self._fields_of_record(*record)
        if read.__class__ is list:
            read = _of_lines(record, read, self._fields_of_line, lambda fields: fields)
        elif read.__class__ is dict:
            return (read,)
        whole: tuple[Fields, ...] | Skipped | Rejection = read
        return whole

    def judge(
        self, record: SourceRecord, dropped: list[DroppedField] | None = None
    ) -> tuple[IncomingEvent, ...] | Skipped | Rejection:
        """The record's events in order, as `judge_fields` returns them for what `read` returns.

        If the judge rejects one event, the whole record is rejected. dropped: takes the optional fields that the events
        lost.
        """
        return self.finish(self.read_at_once(*record), record, dropped)

    def finish(
        self, read: Any, record: SourceRecord, dropped: list[DroppedField] | None = None
    ) -> tuple[IncomingEvent, ...] | Skipped | Rejection:
        """What `judge` returns. read: what `read_at_once` returned for the record."""
        if read.__class__ is IncomingEvent:
            return (read,)
        lost: list[DroppedField] = []

        def judged(fields: Fields) -> IncomingEvent | Rejection:
            outcome, lost_here = judge_fields(fields)
            lost.extend(lost_here)
            return outcome

        if read.__class__ is dict:
            outcome = judged(read)
            read = outcome if isinstance(outcome, Rejection) else (outcome,)
        elif read.__class__ is list:
            read = _of_lines(record, read, self._event_of_line, judged)
        if dropped is not None and read.__class__ is tuple:
            dropped += lost
        whole: tuple[IncomingEvent, ...] | Skipped | Rejection = read
        return whole

    def erased_user(self, key: bytes | None) -> str | None:
        """The user whom a record with this key and a null value erases. None where the user does not stand in the key.

        The key must be UTF-8 where the mapping reads its text.
        """
        if key is None or self._user is None:
            return None
        user_id = text_of(self._user(None, key))
        return user_id if isinstance(user_id, str) and user_id else None

    def user_of(self, record: SourceRecord) -> str | None:
        """The user of a record that need not be an event. None where the record names no user apart from its lines."""
        user_id = text_of(self._user_of(*record))
        return user_id if isinstance(user_id, str) and user_id else None


def _value_type(plan: Plan, paths: ReadPaths) -> Any:
    of_place = {place: [steps for found, steps in paths if found == place] for place in ("value", "line")}
    return value_type(of_place["value"], None if plan.lines is None else plan.lines.names, of_place["line"])


def _of_lines(
    record: SourceRecord, pairs: list[tuple[Any, Any]], read_line: Callable[..., Any], judged: Callable[[Fields], Any]
) -> tuple[Any, ...] | Skipped | Rejection:
    """The events of the lines in order, or their fields. judged: what becomes of the fields of a line."""
    events = []
    skipped: Any = None
    for number, (line, parent) in enumerate(pairs, 1):
        event = read_line(*record, line, parent, number)
        if event.__class__ is dict:
            event = judged(event)
        if event.__class__ is Rejection:
            return Rejection(f"line {number}: {event.reason}", event.field)
        if event.__class__ is Skipped:
            skipped = event
        else:
            events.append(event)
    return tuple(events) if events else skipped
