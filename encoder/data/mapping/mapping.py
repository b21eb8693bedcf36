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

Fields = dict[str, Any]  # the fields of an event before the judge


class Mapping:
    """Reads records as events. One record may give several events, none, or a rejection of the whole record.

    The lines of a record get the ids `ID#1`, `ID#2` and so on by their places in the list, unless the id of the mapping
    is one of a line. Lines with a dropped action are left out. If one line is rejected, so is the record, with the
    number of the line in the reason.
    """

    def __init__(self, name: str, fingerprint: str, plan: Plan) -> None:
        """fingerprint: 16 hexadecimal digits that tell mappings with different results apart."""
        self.name = name
        self.fingerprint = fingerprint
        self._fields_of_record = record_function(plan, is_judged=False)
        self._event_of_record = record_function(plan, is_judged=True)
        self._fields_of_line = line_function(plan, is_judged=False)
        self._event_of_line = line_function(plan, is_judged=True)
        self._user_of = source_function(plan.user)
        self._user = self._user_of if "key" in plan.user.places else None

    def read(self, record: SourceRecord) -> tuple[Fields, ...] | Skipped | Rejection:
        """The fields of the record's events in order, ready for `judge_fields`."""
        read: Any = self._fields_of_record(*record)
        if read.__class__ is list:
            read = _of_lines(record, read, self._fields_of_line, lambda fields: fields)
        elif read.__class__ is dict:
            return (read,)
        return read  # type: ignore[no-any-return]

    def judge(
        self, record: SourceRecord, dropped: list[DroppedField] | None = None
    ) -> tuple[IncomingEvent, ...] | Skipped | Rejection:
        """The record's events in order, as `judge_fields` returns them for what `read` returns.

        If the judge rejects one event, the whole record is rejected. dropped: takes the optional fields that the events
        lost.
        """
        read: Any = self._event_of_record(*record)
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
        return read  # type: ignore[no-any-return]

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
