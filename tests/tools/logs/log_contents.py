"""The contents of an event log in a form that compares by value."""

from dataclasses import fields
from typing import Any

import numpy as np

from encoder.data.event_log import EventLog, Texts


def contents(log: EventLog) -> dict[str, Any]:
    """Field -> value. Arrays are pairs of their type and their values. Floats are texts, so that nan equals nan."""
    return {field.name: _plain(getattr(log, field.name)) for field in fields(log)}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.dtype, [repr(x) for x in value.tolist()] if value.dtype == np.float64 else value.tolist()
    if isinstance(value, Texts):
        return list(value)
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return value
