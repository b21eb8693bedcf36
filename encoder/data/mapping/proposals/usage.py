"""Which parts of a mapping find something in records. A part that finds nothing may have a typing error."""

from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from typing import Any

from encoder.data.contract.incoming_event import IncomingEvent
from encoder.data.contract.judge import ATTRIBUTES
from encoder.data.contract.rejection import Rejection
from encoder.data.mapping.document import OPTIONAL, SHORT_ATTRIBUTES
from encoder.data.mapping.functions import LINE_PLACES, source_function
from encoder.data.mapping.mapping import Mapping
from encoder.data.mapping.plan import ALL_OF, Plan
from encoder.data.mapping.proposals.fields import Field, Fields
from encoder.data.mapping.proposals.toml_text import path_text
from encoder.data.mapping.records import Skipped, SkipReason, SourceRecord
from encoder.data.mapping.sources.source import Source, text_of
from encoder.data.mapping.sources.times import FIRST_PLAUSIBLE_MS
from encoder.data.mapping.sources.writer import Writer

_UNREAD = (SkipReason.FILTER, SkipReason.TOMBSTONE)  # records whose actions the mapping does not look at
_OF_ATTRIBUTES = "attributes."  # how the keys of the table begin
_CLOSE = 0.8  # similarity of two paths, of which one may be a typing error of the other
_IS_THERE: dict[str, Callable[[IncomingEvent], bool]] = {
    "session": lambda event: event.session_id is not None,
    "category": lambda event: event.category is not None,
    "price": lambda event: event.price is not None,
}


class Usage:
    """What no record has had so far: optional fields and actions of a mapping. Also counts implausible times."""

    def __init__(self, mapping: Mapping) -> None:
        plan = mapping.plan
        self.unit = plan.unit
        self.absent = _optional_fields(plan)  # key of the mapping file -> its source: fields that no event has
        self.actions = len(plan.renamed)  # that the mapping names
        self.unseen_actions = dict.fromkeys(plan.renamed)  # in the order of the file
        self.early = 0  # events that lie before 2001-09-09 by the unit that the mapping names
        self.first_early_ms: int | None = None  # the time of the first such event
        self._is_there = {key: _IS_THERE.get(key) or _has_attribute(key, plan) for key in self.absent}
        self._actions_of = _actions_function(plan)

    def add(self, record: SourceRecord | Rejection, judged: tuple[IncomingEvent, ...] | Skipped | Rejection) -> None:
        """Count a record. judged: what the mapping made of the record."""
        is_read = not isinstance(judged, Skipped) or judged.reason not in _UNREAD
        if self.unseen_actions and is_read and isinstance(record, SourceRecord):
            for action in self._actions_of(record):
                self.unseen_actions.pop(action, None)
        if isinstance(judged, Skipped | Rejection):
            return
        for event in judged:
            for key in [key for key in self.absent if self._is_there[key](event)] if self.absent else ():
                del self.absent[key]
            if self.unit is not None and event.event_time_ms < FIRST_PLAUSIBLE_MS:
                self.early += 1
                if self.first_early_ms is None:
                    self.first_early_ms = event.event_time_ms

    def absent_fields(self, broken: Collection[str]) -> dict[str, Source]:
        """The optional fields that no event has. broken: paths of fields that are there, and that an event lost."""
        return {key: source for key, source in self.absent.items() if not _places_in_event(key) & set(broken)}


def closest_paths(sources: Iterable[Source], records: Iterable[SourceRecord | Rejection]) -> list[str | None]:
    """For each source, the path of the records that is most like a path of the source, or None where none is alike."""
    fields = Fields(record.value for record in records if isinstance(record, SourceRecord))
    of_lines: dict[tuple[str, ...], Field] = {}
    for inner in fields.of_lines.values():
        of_lines |= inner
    known = {
        "value": [path_text(names) for names in fields.of_record],
        "line": [path_text(names, "line") for names in of_lines],
    }
    return [_closest(source, known) for source in sources]


def _closest(source: Source, known: dict[str, list[str]]) -> str | None:
    writer = Writer("source")
    source.write_value(writer)
    for place, steps in writer.paths:
        names = [step for step in steps if isinstance(step, str)]
        if len(names) == len(steps) and place in known:
            wanted = path_text(names, "" if place == "value" else place)
            near = get_close_matches(wanted, known[place], n=1, cutoff=_CLOSE)
            if near and near[0] != wanted:
                return near[0]
    return None


def _optional_fields(plan: Plan) -> dict[str, Source]:
    named = dict(zip(OPTIONAL, (plan.session, plan.category, plan.price), strict=True))
    fields = {key: source for key, source in named.items() if source is not None}
    for name, source in plan.attributes:
        fields[name if name in SHORT_ATTRIBUTES else _OF_ATTRIBUTES + name] = source
    return fields


def _places_in_event(key: str) -> set[str]:
    if key in OPTIONAL:
        return {OPTIONAL[key]}
    return {ATTRIBUTES, f"{ATTRIBUTES}.{key.removeprefix(_OF_ATTRIBUTES)}"}


def _has_attribute(key: str, plan: Plan) -> Callable[[IncomingEvent], bool]:
    name = key.removeprefix(_OF_ATTRIBUTES)
    if name != ALL_OF:
        return lambda event: name in (event.attributes or ())
    named = {one for one, _ in plan.attributes}
    return lambda event: not named.issuperset(event.attributes or ())


def _actions_function(plan: Plan) -> Callable[[SourceRecord], list[str]]:
    """A function that returns the actions as a record has them: one, or one of each line."""
    action_of = source_function(plan.action)
    lines = plan.lines if plan.action.places & LINE_PLACES else None
    list_of = None if lines is None else source_function(lines.source)

    def actions_of(record: SourceRecord) -> list[str]:
        found: list[Any] = []
        listed = None if list_of is None else list_of(*record)
        pairs = None if lines is None or listed is None else lines.pairs(listed)
        if pairs.__class__ is list:
            found = [action_of(*record, line, parent) for line, parent in pairs or ()]
        else:
            found = [action_of(*record)]
        return [text for text in map(text_of, found) if isinstance(text, str)]

    return actions_of
