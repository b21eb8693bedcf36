"""Makes the fields of an event from the values of a row whose columns a mapping names."""

from collections.abc import Mapping
from typing import Any, cast

from encoder.data.event_ids import UNNAMED
from encoder.data.loaders.columns.mapping import ATTRIBUTE_PREFIX, ATTRIBUTES, TEXT_FIELDS, ColumnMapping
from encoder.data.loaders.row_batches import RawEvent, UnusableRow, user_id_or_empty


class Milliseconds(int):
    """A time that is known to be in milliseconds. The unit of the mapping does not apply to such a value."""


def mapped_row(mapping: ColumnMapping, column_of: Mapping[str, str], row: Mapping[str, Any]) -> RawEvent | UnusableRow:
    """The fields of the event of a row.

    column_of: field or attributes.NAME -> column. row: column -> value, without the columns that the row lacks.
    """
    fields: dict[str, Any] = {"event_id": UNNAMED}
    if mapping.action is not None:
        fields["action"] = mapping.action
    attributes: dict[str, Any] = {}
    for name, column in column_of.items():
        if column not in row:
            continue
        value = row[column]
        if value.__class__ is Milliseconds and name != "event_time_ms":
            value = int(value)  # Another field may read the column of the time as well.
        if name in TEXT_FIELDS:
            fields[name] = value if value.__class__ is str else text_of_whole_number(value)
        elif name.startswith(ATTRIBUTE_PREFIX):
            attributes[name.removeprefix(ATTRIBUTE_PREFIX)] = value
        elif name != ATTRIBUTES:
            fields[name] = value
        elif isinstance(value, dict):
            attributes = {**value, **attributes}
        elif value is not None and not attributes:
            fields[ATTRIBUTES] = value  # The judge drops and counts attributes that are not an object.
    if attributes:
        fields[ATTRIBUTES] = attributes
    try:
        fields["event_time_ms"] = _time_ms(mapping, fields.get("event_time_ms"))
    except ValueError as error:
        return UnusableRow(str(error), user_id_or_empty(fields.get("user_id")))
    return cast(RawEvent, fields)


def text_of_whole_number(value: Any) -> Any:
    """A whole number as text. Other values stay as they are, and the judge rejects or drops a value of a wrong type."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # pandas writes a column of whole numbers with nulls as floats
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _time_ms(mapping: ColumnMapping, value: Any) -> int | None:
    if value is None or value != value:  # NaN differs from itself
        return None
    return int(value) if isinstance(value, Milliseconds) else mapping.time_ms(str(value))
