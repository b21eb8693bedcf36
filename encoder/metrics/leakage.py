"""Data leakage: whether a model may have been trained on the events that score the model. This module is pure."""

from collections.abc import Mapping
from typing import Any

from encoder.data.event_log import EventLog


def find_leak(log: EventLog, data: Mapping[str, Any], *, are_last: bool = False) -> dict[str, Any]:
    """Count the scored events that are not later than the last event of the training log.

    A model may have been trained on such an event, or on events after it. data: fingerprint of the training log, as a
    checkpoint or a manifest holds it. are_last: the log holds only each user's last event. Returns {"training_last_ms":
    None when the fingerprint does not say, "first_scored_ms", "not_later": number of such events, "share": their share,
    "left_out": whether are_last and the training left out the last events of users, so that it has not seen the scored
    events whenever they happened}.
    """
    last_ms = data.get("last_ms")
    not_later = 0 if last_ms is None else int((log.time_ms <= last_ms).sum())
    return {
        "training_last_ms": last_ms,
        "first_scored_ms": int(log.time_ms[0]),
        "not_later": not_later,
        "share": not_later / len(log),
        "left_out": are_last and data.get("leave_out", 0) > 0,
    }


def leak_warning(leak: Mapping[str, Any], model: str) -> str | None:
    """A warning about the result of `find_leak`, or None when there is no leak. model: the name of the model."""
    if leak["left_out"]:
        return None
    if leak["training_last_ms"] is None:
        return f"UNCHECKED: {model} does not say when its training log ends, so a leak cannot be excluded"
    if leak["not_later"]:
        return (
            f"LEAK: {leak['not_later']:,} of the scored events ({leak['share']:.1%}) are not later than the last event "
            f"of the training log of {model} ({leak['training_last_ms']} ms). Its figures are too good: score later "
            "events (--rest), or train with --leave-out 2 and evaluate with --score last"
        )
    return None


def leak_warnings(result: Mapping[str, Any]) -> list[str]:
    """The warnings about a scored bundle and about the bundle to which it is compared.

    result: {"bundle_id", "leak": from `find_leak`, "compare": None or {"bundle_id", "leak", ...}, ...}.
    """
    bundles = [bundle for bundle in (result, result["compare"]) if bundle is not None]
    warnings = (leak_warning(bundle["leak"], bundle["bundle_id"]) for bundle in bundles)
    return [warning for warning in warnings if warning is not None]
