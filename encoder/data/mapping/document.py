"""Turns the document of a mapping file into a `Mapping`. Every error names the file, the key and a remedy."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from encoder.data.mapping.errors import MappingError, closest
from encoder.data.mapping.lines import Lines
from encoder.data.mapping.mapping import Mapping
from encoder.data.mapping.plan import ALL_OF, Plan
from encoder.data.mapping.sources.source import Source
from encoder.data.mapping.sources.specs import SourceError, read_source
from encoder.data.mapping.sources.times import PER_SECOND, time_reader

REQUIRED = {"user": "user_id", "item": "item_id", "action": "action", "time": "event_time_ms"}
OPTIONAL = {"session": "session_id", "category": "category", "price": "price"}
SHORT_ATTRIBUTES = ("brand", "item_name")  # keys for attributes that a model or the page of `thalweg serve` reads
TABLES = ("actions", "attributes")
OTHER_ACTIONS = ("drop", "keep")
_CONDITION = ("from", "in")
_SKIPPABLE = ("user", "item")  # whose absence may be no error
_TEXTS = ("description", "documentation")
KEYS = (
    *_TEXTS, "extends", "where", "each", "skip_without", *REQUIRED, "event_id", *OPTIONAL, *SHORT_ATTRIBUTES, "actions",
    "other_actions", "attributes",
)  # fmt: skip
_RECORD_HASH = {"hash": "record"}


def extended(base: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """The document on top of the document that it extends. Tables are merged, other keys are replaced."""
    merged = {**base, **document}
    for key in TABLES:
        if isinstance(base.get(key), dict) and isinstance(document.get(key), dict):
            merged[key] = {**base[key], **document[key]}
    return merged


def compile_mapping(document: dict[str, Any], file: str, name: str) -> Mapping:
    """Compile a document without `extends`. Raises MappingError. file: where the document stands, for messages."""
    for key in document:
        if key not in KEYS:
            raise MappingError(f'{file}: unknown key "{key}": {closest(key, KEYS)}')
    for key in REQUIRED:
        if key not in document:
            raise MappingError(
                f'{file}: the key "{key}" is missing: say where the {key} stands, for example {key} = "PATH"'
            )
    lines = _at(file, "each", lambda: Lines(document["each"])) if "each" in document else None
    user, item, action = (_source(document[key], key, file) for key in ("user", "item", "action"))
    event_id = _source(document.get("event_id", _RECORD_HASH), "event_id", file)
    time, unit = _time(document["time"], file)
    session, category, price = (_optional(document, key, file) for key in OPTIONAL)
    renamed, drops_other_actions = _actions(document, file)
    attributes = _attributes(document, file)
    filters = _filters(document.get("where", []), file)
    if lines is None:
        named = {"user": user, "item": item, "action": action, "event_id": event_id, "time": time, "session": session}
        _check_no_line({**named, "category": category, "price": price, **dict(attributes)}, file)
    for source, _ in filters:
        _check_no_line({"where": source}, file)
    plan = Plan(
        event_id, user, item, action, renamed, drops_other_actions, time, time_reader(unit), unit, session, category,
        price, attributes, _skipped_without(document.get("skip_without", []), file), filters, lines,
    )  # fmt: skip
    return Mapping(name, _fingerprint(document), plan)


def _at(file: str, key: str, compile_value: Callable[[], Any]) -> Any:
    try:
        return compile_value()
    except (SourceError, ValueError, AttributeError, TypeError) as error:
        raise MappingError(f'{file}: the key "{key}": {error}') from None


def _source(spec: Any, key: str, file: str) -> Source:
    source: Source = _at(file, key, lambda: read_source(spec))
    return source


def _optional(document: dict[str, Any], key: str, file: str) -> Source | None:
    """The source of an optional key. `price = false` leaves out what an extended mapping names."""
    spec = document.get(key, False)
    return None if spec is False else _source(spec, key, file)


def _time(spec: Any, file: str) -> tuple[Source, str | None]:
    """The source of the time, and the unit that the mapping names."""
    unit = None
    if isinstance(spec, dict) and "unit" in spec:
        unit = spec["unit"]
        spec = {key: value for key, value in spec.items() if key != "unit"}
        if unit not in PER_SECOND:
            raise MappingError(
                f'{file}: the key "time": unknown unit {unit!r}: use one of {", ".join(PER_SECOND)}, or leave the '
                "unit out for dates and times of ISO 8601"
            )
    return _source(spec, "time", file), unit


def _actions(document: dict[str, Any], file: str) -> tuple[dict[str, str | None], bool]:
    """The renamed actions, and whether others are dropped."""
    table = document.get("actions", {})
    if not isinstance(table, dict):
        raise MappingError(f'{file}: the key "actions" is {table!r}: write a table such as "Product Viewed" = "view"')
    renamed: dict[str, str | None] = {}
    for found, action in table.items():
        if action is not False and (not isinstance(action, str) or not action):
            raise MappingError(
                f'{file}: the key "actions.{found}" is {action!r}: write a text, or false to drop the action'
            )
        renamed[found] = action or None
    others = document.get("other_actions", "drop" if any(renamed.values()) else "keep")
    if others not in OTHER_ACTIONS:
        raise MappingError(f'{file}: the key "other_actions" is {others!r}: use "drop" or "keep"')
    return renamed, others == "drop"


def _attributes(document: dict[str, Any], file: str) -> tuple[tuple[str, Source], ...]:
    table = document.get("attributes", {})
    if not isinstance(table, dict):
        raise MappingError(f'{file}: the key "attributes" is {table!r}: write a table such as color = "PATH"')
    named = {key: source for key in SHORT_ATTRIBUTES if (source := _optional(document, key, file)) is not None}
    for name, spec in table.items():
        if spec is not False:
            named[name] = _source(spec, f"attributes.{name}", file)
    all_of = named.pop(ALL_OF, None)  # An attribute that the mapping names comes before one of the same name.
    return (*named.items(), (ALL_OF, all_of)) if all_of else tuple(named.items())


def _filters(conditions: Any, file: str) -> tuple[tuple[Source, frozenset[str]], ...]:
    example = '[[where]] with from = "op" and in = ["c", "r"]'
    if not isinstance(conditions, list) or not all(isinstance(one, dict) for one in conditions):
        raise MappingError(f'{file}: the key "where" is {conditions!r}: write {example}')
    filters = []
    for condition in conditions:
        for key in condition:
            if key not in _CONDITION:
                raise MappingError(f'{file}: unknown key "where.{key}": {closest(key, _CONDITION)}')
        allowed = condition.get("in")
        if "from" not in condition or not isinstance(allowed, list) or not all(isinstance(one, str) for one in allowed):
            raise MappingError(f'{file}: the key "where" has {condition!r}: write {example}, with texts')
        filters.append((_source(condition["from"], "where.from", file), frozenset(allowed)))
    return tuple(filters)


def _skipped_without(keys: Any, file: str) -> frozenset[str]:
    if not isinstance(keys, list) or not all(key in _SKIPPABLE for key in keys):
        raise MappingError(f'{file}: the key "skip_without" is {keys!r}: write a list of {", ".join(_SKIPPABLE)}')
    return frozenset(REQUIRED[key] for key in keys)


def _check_no_line(sources: dict[str, Source | None], file: str) -> None:
    for key, source in sources.items():
        if source is not None and source.places & {"line", "parent"}:
            raise MappingError(
                f'{file}: the key "{key}" reads {source.shown}, and there is no line: name the list of lines with '
                'each = "PATH", and read the record alone in the table where'
            )


def _fingerprint(document: dict[str, Any]) -> str:
    content = {key: value for key, value in document.items() if key not in _TEXTS}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
