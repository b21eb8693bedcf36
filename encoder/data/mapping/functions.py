"""The functions that are written for a mapping. Each takes the parts of a record that `writer.PARAMETERS` names.

A function of records returns an event, or its fields, or the lines of the record, or why there is none. A function of
lines does the same for one line.
"""

import math
from collections.abc import Callable
from typing import Any

import msgspec

from encoder.data.contract.incoming_event import IncomingEvent
from encoder.data.contract.judge import ATTRIBUTES
from encoder.data.mapping import outcomes
from encoder.data.mapping.plan import ALL_OF, Plan
from encoder.data.mapping.sources.source import Source, text_of
from encoder.data.mapping.sources.writer import ReadPaths, Writer

LINE_PLACES = frozenset(("line", "parent"))
_SHORT_CHARACTERS = 8192  # Texts of an event up to this size are far below the limit of an event's JSON.
_REQUIRED = ("event_id", "user_id", "item_id", "action", "event_time_ms")


def source_function(source: Source) -> Callable[..., Any]:
    """A function that returns the value of one source."""
    writer = Writer("source")
    writer.line(f"return {source.write_value(writer)}")
    return writer.function()


def record_function(plan: Plan, *, is_judged: bool, paths: ReadPaths | None = None) -> Callable[..., Any]:
    """A function of records. Returns a list of pairs (line, parent) for a record with lines.

    is_judged: return an `IncomingEvent` where no bound is broken, otherwise the fields. False: always the fields.
    paths: takes what the function reads.
    """
    writer = Writer("record", LINE_PLACES, paths)
    writer.line(f"if value is None: return {writer.constant(outcomes.TOMBSTONE)}")
    _write_filters(writer, plan)
    action = "" if plan.action.places & LINE_PLACES else _write_action(writer, plan)
    if plan.lines is not None:
        read = frozenset(writer.paths)
        found = plan.lines.source.write_value(writer)
        writer.paths.intersection_update(read)  # A list of lines is not read as it is: the lines have their own paths.
        writer.line(f"if {found} is not None: return {writer.constant(plan.lines.pairs)}({found})")
    return _finished(writer, plan, action or _write_action(writer, plan), is_judged)


def line_function(plan: Plan, *, is_judged: bool, paths: ReadPaths | None = None) -> Callable[..., Any]:
    """A function of lines, without the filters. is_judged, paths: as for `record_function`."""
    writer = Writer("line", paths=paths)
    return _finished(writer, plan, _write_action(writer, plan), is_judged)


def _finished(writer: Writer, plan: Plan, action: str, is_judged: bool) -> Callable[..., Any]:
    user_id = _write_id(writer, "user_id", plan.user, plan)
    item_id = _write_id(writer, "item_id", plan.item, plan)
    event_id = _write_id(writer, "event_id", plan.event_id, plan)
    if not writer.absent and not plan.event_id.places & LINE_PLACES:
        writer.line(f"if {event_id}.__class__ is str: {event_id} = f'{{{event_id}}}#{{number}}'")
    required = dict(zip(_REQUIRED, (event_id, user_id, item_id, action, _write_time(writer, plan)), strict=True))
    writer.line(f"fields = {{{', '.join(f'{name!r}: {found}' for name, found in required.items())}}}")
    texts = [event_id, user_id, item_id, *([] if plan.renamed and plan.drops_other_actions else [action])]
    for name, source in (("session_id", plan.session), ("category", plan.category)):
        if source is not None:
            found = _write_optional(writer, source)
            writer.line(f"if {found}.__class__ is not str: {found} = {writer.constant(text_of)}({found})")
            writer.line(f"fields[{name!r}] = {found}")
            writer.dedent()
            texts.append(found)
    writer.line("numbers = ()")
    if plan.price is not None:
        found = _write_optional(writer, plan.price)
        writer.line(f"if {found}.__class__ is not float: {found} = {writer.constant(outcomes.price)}({found})")
        writer.line(f"fields['price'] = {found}")
        writer.line(f"numbers = ({found},)")
        writer.dedent()
    if plan.attributes:
        texts += _write_attributes(writer, plan.attributes)
    if is_judged:
        _write_judged(writer, texts)
    writer.line("return fields")
    return writer.function()


def _write_filters(writer: Writer, plan: Plan) -> None:
    for source, allowed in plan.filters:
        found = writer.variable()
        writer.line(f"{found} = {source.write_value(writer)}")
        writer.line(f"if {found}.__class__ is not str: {found} = {writer.constant(text_of)}({found})")
        # A value that is no text may have no hash.
        writer.indent(f"if {found}.__class__ is not str or {found} not in {writer.constant(allowed)}:")
        writer.line(f"return {writer.constant(outcomes.filtered)}({source.shown!r}, {found})")
        writer.dedent()


def _write_action(writer: Writer, plan: Plan) -> str:
    found, shown = writer.variable(), repr(plan.action.shown)
    writer.line(f"{found} = {plan.action.write_value(writer)}")
    writer.indent(f"if {found}.__class__ is not str:")
    writer.line(f"{found} = {writer.constant(text_of)}({found})")
    no_action = writer.constant(outcomes.no_action)
    writer.line(f"if {found}.__class__ is not str: return {no_action}({shown}, {found}, value)")
    writer.dedent()
    if not plan.renamed and not plan.drops_other_actions:
        return found
    action = writer.variable()
    other = "" if plan.drops_other_actions else f", {found}"
    writer.line(f"{action} = {writer.constant(dict(plan.renamed))}.get({found}{other})")
    writer.line(f"if {action} is None: return {writer.constant(outcomes.dropped_action)}({found})")
    return action


def _write_id(writer: Writer, name: str, source: Source, plan: Plan) -> str:
    found = writer.variable()
    writer.line(f"{found} = {source.write_value(writer)}")
    writer.indent(f"if {found}.__class__ is not str:")
    writer.line(f"{found} = {writer.constant(text_of)}({found})")
    if name in plan.skipped_without:
        call = f"{writer.constant(outcomes.skipped_without)}({name!r}, {source.shown!r})"
    else:
        call = f"{writer.constant(outcomes.missing)}({name!r}, {source.shown!r}, value)"
    writer.line(f"if {found} is None: return {call}")
    writer.dedent()
    return found


def _write_time(writer: Writer, plan: Plan) -> str:
    found = writer.variable()
    name, shown = "event_time_ms", repr(plan.time.shown)
    writer.line(f"{found} = {plan.time.write_value(writer)}")
    writer.line(f"if {found} is None: return {writer.constant(outcomes.missing)}({name!r}, {shown}, value)")
    writer.line(f"try: {found} = {writer.constant(plan.to_ms)}({found})")
    no_time = writer.constant(outcomes.no_time)
    writer.line(f"except (ValueError, OverflowError) as error: return {no_time}({shown}, error)")
    return found


def _write_optional(writer: Writer, source: Source) -> str:
    """Begins a block for a value that is there."""
    found = writer.variable()
    writer.line(f"{found} = {source.write_value(writer)}")
    writer.indent(f"if {found} is not None:")
    return found


def _write_attributes(writer: Writer, attributes: tuple[tuple[str, Source], ...]) -> list[str]:
    """Adds the attributes to `fields` and their numbers to `numbers`. Returns what may hold texts."""
    writer.line("attributes = {}")
    found_texts = []
    for name, source in attributes:
        found = _write_optional(writer, source)
        if name == ALL_OF:
            writer.line(f"{writer.constant(outcomes.add_all)}({found}, attributes, fields)")
            writer.line("numbers = (*numbers, *attributes.values())")
        else:
            writer.indent(f"if {found}.__class__ is not str:")
            writer.line(f"{found} = {writer.constant(outcomes.plain)}({found})")
            writer.line(f"numbers = (*numbers, {found})")
            writer.dedent()
            writer.line(f"attributes[{name!r}] = {found}")
            found_texts.append(found)
        writer.dedent()
        found_texts += [f"{writer.constant(outcomes.texts_of)}(attributes)"] if name == ALL_OF else []
    writer.line(f"if attributes: fields[{ATTRIBUTES!r}] = attributes")
    return found_texts


def _write_judged(writer: Writer, texts: list[str]) -> None:
    """Returns the event where the fields break no bound.

    Apart from the bounds of `IncomingEvent`, the judge refuses halves of surrogate pairs, numbers that are not finite,
    and events that are too large.
    """
    convert, event = writer.constant(msgspec.convert), writer.constant(IncomingEvent)
    writer.line(f"try: event = {convert}(fields, {event})")
    writer.line("except ValueError: return fields")
    writer.line(f"text = f'{''.join(f'{{{found}}}' for found in texts)}'")
    writer.line(f"if len(text) > {_SHORT_CHARACTERS}: return fields")
    writer.line(f"if not text.isascii() and {writer.constant(outcomes.has_surrogates)}(text): return fields")
    writer.indent("for number in numbers:")
    writer.line(f"if number.__class__ is float and not {writer.constant(math.isfinite)}(number): return fields")
    writer.dedent()
    writer.line("return event")
