"""Proposes the keys of a mapping file by the names and the values of the fields of a sample."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from encoder.data.mapping.proposals.fields import Field, Fields, Names
from encoder.data.mapping.proposals.names import USUAL_NAMES, candidates, usual_action
from encoder.data.mapping.proposals.toml_text import comment, path_text, plain_path, toml_key, toml_value
from encoder.data.mapping.records import SourceRecord
from encoder.data.mapping.sources.paths import follow
from encoder.wording import counted

_OF_LINES = ("item", "category", "price", "brand", "item_name")  # keys that a line of an order may have
_FIRST_OF = ("user", "item")  # keys for which a second field may stand in for the first
_MOST_SOURCES = 3
_NO_ITEM = 0.5  # An action whose records have an item in a smaller share than this is dropped.


class FieldsProposal(NamedTuple):
    """The lines of a mapping file, and the keys without a field."""

    lines: list[str]
    missing: list[str]


def propose_by_fields(
    records: Sequence[SourceRecord], places: Sequence[Names] = ((),), keys: Iterable[str] = tuple(USUAL_NAMES)
) -> FieldsProposal:
    """Propose these keys. places: only fields below one of these paths count."""
    fields = Fields(record.value for record in records)
    of_record = {
        names: field for names, field in fields.of_record.items() if any(names[: len(one)] == one for one in places)
    }
    each = _lines_with_items(fields) if places == ((),) else None
    of_line = fields.of_lines.get(each or (), {})
    found: dict[str, tuple[list[Field], list[Field]]] = {}  # key -> fields of the line, fields of the record
    for key in keys:
        in_line = candidates(key, of_line) if key in _OF_LINES else []
        found[key] = (in_line[:1], _chosen(key, candidates(key, of_record), records))
    _take_action_from_name_of_item(found)
    sources = {key: _source(key, *both) for key, both in found.items() if any(both)}
    return _written(records, found, sources, each)


def _chosen(key: str, ranked: list[Field], records: Sequence[SourceRecord]) -> list[Field]:
    """The best field, and others for records without the field where the key takes several."""
    if not ranked or key not in _FIRST_OF:
        return ranked[:1]
    chosen: list[Field] = []
    open_records = list(records)
    for field in ranked:
        left = [record for record in open_records if follow(record.value, field.names) in (None, "")]
        if len(left) < len(open_records):
            chosen.append(field)
        open_records = left
        if not left or len(chosen) == _MOST_SOURCES:
            break
    return chosen


def _take_action_from_name_of_item(found: dict[str, tuple[list[Field], list[Field]]]) -> None:
    """No field is both an action and another key: `name` may be either."""
    action = found.get("action", ([], []))[1]
    for key in ("item_name", "category"):
        if key in found and found[key][1] and found[key][1] == action:
            found[key] = (found[key][0], [])


def _lines_with_items(fields: Fields) -> Names | None:
    """The list of objects with items that most records have, or None."""
    lists = [names for names, inner in fields.of_lines.items() if candidates("item", inner)]
    return max(lists, key=lambda names: fields.lists[names], default=None)


def _source(key: str, of_line: list[Field], of_record: list[Field]) -> Any:
    texts = [path_text(field.names, "line") for field in of_line] + [path_text(field.names) for field in of_record]
    source: Any = texts[0] if len(texts) == 1 else texts
    if key == "time":
        units = of_record[0].units
        unit = max(units, key=lambda name: units[name])
        return source if unit == "iso" else {"from": source, "unit": unit}
    return source


def _written(
    records: Sequence[SourceRecord],
    found: dict[str, tuple[list[Field], list[Field]]],
    sources: dict[str, Any],
    each: Names | None,
) -> FieldsProposal:
    lines = [f"each = {toml_value(plain_path(each))}"] if each else []
    missing = []
    for key in found:
        if key in sources:
            lines.append(f"{key} = {toml_value(sources[key])}{_presence(found[key], records, each)}")
        elif (other := _other_source(key, records)) is not None:
            source, why = other
            lines.append(f"{key} = {toml_value(source)} {comment(why)}")
        elif key == "event_id":
            lines.append(comment("No field looks like an id of an event, so a hash of the record is the id."))
        else:
            missing.append(key)
            if key in ("user", "item"):
                lines.append(comment(f'{key} = "PATH", but no field looks like the {key}'))
    if "action" in sources:
        lines += _action_lines(found, records, each)
    return FieldsProposal(lines, missing)


def _presence(both: tuple[list[Field], list[Field]], records: Sequence[SourceRecord], each: Names | None) -> str:
    if each and both[0]:
        return ""
    with_one = sum(any(follow(record.value, field.names) not in (None, "") for field in both[1]) for record in records)
    return "" if with_one == len(records) else f" {comment(f'in {with_one:,} of {len(records):,} records')}"


def _other_source(key: str, records: Sequence[SourceRecord]) -> tuple[Any, str] | None:
    if key == "user" and any(record.key for record in records):
        return "key:", "no field looks like the user, so the key of the record is the user"
    if key == "time" and any(record.timestamp_ms >= 0 for record in records):
        return "timestamp:", "no field looks like a time, so the timestamp of the record is the time"
    if key == "action":
        return {"const": "view"}, "no field looks like an action, so all records have the same"
    return None


def _action_lines(
    found: dict[str, tuple[list[Field], list[Field]]], records: Sequence[SourceRecord], each: Names | None
) -> list[str]:
    """The table of actions. An action whose records seldom have an item is dropped."""
    action = found["action"][1][0]
    item_of_line, item_of_record = found.get("item", ([], []))
    counts: dict[str, list[int]] = {}  # action -> records, records with an item
    for record in records:
        value = follow(record.value, action.names)
        if not isinstance(value, str) or not value:
            continue
        count = counts.setdefault(value, [0, 0])
        count[0] += 1
        has_line = bool(each and item_of_line) and bool(follow(record.value, each or ()))
        has_item = any(follow(record.value, field.names) not in (None, "") for field in item_of_record)
        count[1] += has_line or has_item
    lines = ["", "[actions]", comment("Actions that do not stand here are dropped.")]
    for value, (count_of, with_item) in sorted(counts.items(), key=lambda one: -one[1][0]):
        is_event = with_item >= _NO_ITEM * count_of
        why = "" if is_event else f", {count_of - with_item:,} without an item"
        name = usual_action(value) if is_event else False
        lines.append(f"{toml_key(value)} = {toml_value(name)} {comment(counted(count_of, 'record') + why)}")
    return lines
