"""A compiled mapping: reads decoded records as the fields of events. Pure, and raises nothing for bad input."""

import math
from collections.abc import Mapping as ReadOnlyMapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from encoder.data.contract.incoming_event import IncomingEvent
from encoder.data.contract.judge import ATTRIBUTES, DroppedField, judge_fields
from encoder.data.contract.quoting import quote_json
from encoder.data.contract.rejection import Rejection, is_unicode
from encoder.data.mapping.lines import Lines
from encoder.data.mapping.records import Skipped, SkipReason, SourceRecord
from encoder.data.mapping.sources import KEY, LINE, PARENT, Source, text_of
from encoder.data.mapping.times import ToMs

ALL_OF = "*"  # the attribute that stands for all fields of an object
# Texts of attributes up to this many characters are far below the limit of an event's JSON.
_SHORT_CHARACTERS = 8192
_NO_LINE = (None, None)
_PLAIN = (str, int, float)

Fields = dict[str, Any]


class Actions(NamedTuple):
    """The source of the action, and what becomes of its values."""

    source: Source
    renamed: ReadOnlyMapping[str, str | None]  # None: the mapping drops the action
    drops_others: bool


class Time(NamedTuple):
    """The source of the time, and its unit."""

    source: Source
    to_ms: ToMs


class Plan(NamedTuple):
    """The compiled parts of a mapping file."""

    ids: tuple[tuple[str, Source], ...]  # event_id, user_id, item_id
    action: Actions
    time: Time
    texts: tuple[tuple[str, Source], ...]  # session_id, category
    price: Source | None
    attributes: tuple[tuple[str, Source], ...]
    filters: tuple[tuple[Source, frozenset[str]], ...]
    lines: Lines | None


class Mapping:
    """Reads records as events. One record may give several events, none, or a rejection of the whole record."""

    def __init__(self, name: str, fingerprint: str, plan: Plan) -> None:
        """fingerprint: 16 hexadecimal digits that tell mappings with different results apart."""
        self.name = name
        self.fingerprint = fingerprint
        self._lines = plan.lines
        self._filters = [(source.read, allowed, source.shown) for source, allowed in plan.filters]
        self._action = plan.action.source
        self._renamed = plan.action.renamed
        self._drops_others = plan.action.drops_others
        self._plan = plan
        self._ids = [(name, source.read) for name, source in plan.ids]
        self._texts = [(name, source.read) for name, source in plan.texts]
        self._attributes = [(name, source.read) for name, source in plan.attributes]
        event_id = dict(plan.ids)["event_id"]
        self._numbers_lines = not event_id.places & {LINE, PARENT}

    def read(self, record: SourceRecord) -> tuple[Fields, ...] | Skipped | Rejection:
        """The fields of the record's events in order, ready for `judge_fields`.

        The lines of a record get the ids `ID#1`, `ID#2` and so on by their places in the list, unless the id of the
        mapping is one of a line. Lines with a dropped action are left out. If one line is rejected, so is the record,
        with the number of the line in the reason.
        """
        numbered = self._numbered(record)
        return tuple([fields for _, fields in numbered]) if numbered.__class__ is list else numbered

    def judge(
        self, record: SourceRecord, dropped: list[DroppedField] | None = None
    ) -> tuple[IncomingEvent, ...] | Skipped | Rejection:
        """The record's events in order. If the judge rejects one, the whole record is rejected.

        dropped: takes the optional fields that the events lost.
        """
        numbered = self._numbered(record)
        if numbered.__class__ is not list:
            return numbered
        events = []
        lost: list[DroppedField] = []
        for number, fields in numbered:
            event = _judged_at_once(fields)
            if event is None:
                event, lost_here = judge_fields(fields)
                if isinstance(event, Rejection):
                    return _in_line(event, number) if number else event
                lost += lost_here
            events.append(event)
        if dropped is not None:
            dropped += lost
        return tuple(events)

    def erased_user(self, key: bytes | None) -> str | None:
        """The user whom a record with this key and a null value erases. None where the user does not stand in the key.
        """
        source = dict(self._plan.ids)["user_id"]
        if key is None or KEY not in source.places:
            return None
        user_id = text_of(source.read((None, key, (), -1, *_NO_LINE)))
        return user_id if isinstance(user_id, str) and user_id else None

    def _numbered(self, record: SourceRecord) -> list[tuple[int, Fields]] | Skipped | Rejection:
        """The fields of the events, each with the number of its line, which is 0 in a record without lines."""
        if record[0] is None:
            return Skipped(SkipReason.TOMBSTONE, "null")
        scope = (*record, *_NO_LINE)
        for read, allowed, shown in self._filters:
            if (value := text_of(read(scope))) not in allowed:
                return Skipped(SkipReason.FILTER, f"{shown} is {quote_json(value)}")
        pairs = None if self._lines is None else self._lines.of(record[0])
        if pairs is None:
            fields = self._fields(scope)
            return [(0, fields)] if fields.__class__ is dict else fields
        return self._of_lines(record, pairs) if isinstance(pairs, list) else pairs

    def user_of(self, record: SourceRecord) -> str | None:
        """The user of a record that need not be an event. None where the record names no user apart from its lines."""
        user_id = text_of(dict(self._plan.ids)["user_id"].read((*record, *_NO_LINE)))
        return user_id if isinstance(user_id, str) and user_id else None

    def _of_lines(
        self, record: SourceRecord, pairs: list[tuple[Any, Any]]
    ) -> list[tuple[int, Fields]] | Skipped | Rejection:
        events: list[tuple[int, Fields]] = []
        skipped = Skipped(SkipReason.NO_LINES, f"{self._lines.path} is []")
        for number, pair in enumerate(pairs, 1):
            fields = self._fields((*record, *pair))
            if isinstance(fields, Rejection):
                return _in_line(fields, number)
            if isinstance(fields, Skipped):
                skipped = fields
                continue
            if self._numbers_lines:
                fields["event_id"] = f"{fields['event_id']}#{number}"
            events.append((number, fields))
        return events or skipped

    def _fields(self, scope: tuple[Any, ...]) -> Fields | Skipped | Rejection:
        action = text_of(self._action.read(scope))
        if action is None:
            return self._missing("action", self._action, scope)
        if action.__class__ is str:
            renamed = self._renamed.get(action, action if not self._drops_others else None)
            if renamed is None:
                return Skipped(SkipReason.ACTION, quote_json(action))
            action = renamed
        fields: Fields = {"action": action}
        for name, read in self._ids:
            value = read(scope)
            if value.__class__ is not str:
                value = text_of(value)
                if value is None:
                    return self._missing(name, dict(self._plan.ids)[name], scope)
            fields[name] = value
        time = self._plan.time
        try:
            value = time.source.read(scope)
            if value is None:
                return self._missing("event_time_ms", time.source, scope)
            fields["event_time_ms"] = time.to_ms(value)
        except (ValueError, OverflowError) as error:
            return Rejection(f"event_time_ms at {time.source.shown}: {error}", "event_time_ms")
        self._add_optional(fields, scope)
        return fields

    def _add_optional(self, fields: Fields, scope: tuple[Any, ...]) -> None:
        for name, read in self._texts:
            value = read(scope)
            if value is not None:
                fields[name] = value if value.__class__ is str else text_of(value)
        if self._plan.price is not None:
            value = self._plan.price.read(scope)
            if value is not None:
                fields["price"] = value if value.__class__ in _PLAIN else _plain(value)
        attributes: dict[str, Any] = {}
        for name, read in self._attributes:
            value = read(scope)
            if value is None:
                continue
            if name != ALL_OF:
                attributes[name] = value if value.__class__ in _PLAIN else _plain(value)
            elif isinstance(value, dict):
                attributes = {**{name: _plain(one) for name, one in value.items()}, **attributes}
            elif not attributes:
                fields[ATTRIBUTES] = value  # The judge drops and counts attributes that are not an object.
        if attributes:
            fields[ATTRIBUTES] = attributes

    def _missing(self, field: str, source: Source, scope: tuple[Any, ...]) -> Rejection:
        return Rejection(f"{field} is missing: no {source.shown} in {quote_json(scope[0])}", field)


def _in_line(rejection: Rejection, number: int) -> Rejection:
    return Rejection(f"line {number}: {rejection.reason}", rejection.field)


def _plain(value: Any) -> Any:
    """A value of another format than JSON as a text or a number. The judge drops a value that stays another."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value if isinstance(value, bool) else text_of(value) if isinstance(value, bytes) else value


def _judged_at_once(fields: Fields) -> IncomingEvent | None:
    """The event of fields that break no bound, or None where `judge_fields` has to decide.

    The outcome is that of `judge_fields`, at a seventh of the time.
    """
    try:
        event = msgspec.convert(fields, IncomingEvent)
    except ValueError:
        return None
    texts = f"{event.event_id}{event.user_id}{event.item_id}{event.action}{event.session_id}{event.category}"
    price = event.price
    if price is not None and not math.isfinite(price):
        return None
    if event.attributes is not None:
        for name, value in event.attributes.items():
            texts += name
            if value.__class__ is str:
                texts += value
            elif value.__class__ is float and not math.isfinite(value):
                return None
    if len(texts) > _SHORT_CHARACTERS or not (texts.isascii() or is_unicode(texts)):
        return None
    return event
