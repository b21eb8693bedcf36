"""Whether scored events may have been trained on. Pure."""

from collections.abc import Mapping
from typing import Any

from encoder.data.event_log import EventLog


def find_leak(log: EventLog, data: Mapping[str, Any]) -> dict[str, Any]:
    """Scored events that are not later than the training log's last event: the model may know them, or what followed.

    data: fingerprint of the training log, as a checkpoint or a manifest holds it. Returns {"training_last_ms": None
    where that does not say, "first_scored_ms", "not_later": how many, "share"}.
    """
    last_ms = data.get("last_ms")
    not_later = 0 if last_ms is None else int((log.time_ms <= last_ms).sum())
    return {
        "training_last_ms": last_ms,
        "first_scored_ms": int(log.time_ms[0]),
        "not_later": not_later,
        "share": not_later / len(log),
    }


def warning(leak: Mapping[str, Any], model: str) -> str | None:
    """What to say of it, None where all is well. model: whose training log it is about."""
    if leak["training_last_ms"] is None:
        return f"UNCHECKED: {model} does not say when its training log ends, so a leak cannot be excluded"
    if leak["not_later"]:
        return (
            f"LEAK: {leak['not_later']:,} of the scored events ({leak['share']:.1%}) are not later than the last event "
            f"of the training log of {model} ({leak['training_last_ms']} ms). Its figures are too good: score later "
            "events (--rest)"
        )
    return None


def warnings(result: Mapping[str, Any]) -> list[str]:
    """What to say of the leaks of an `export.evaluation.bundle_evaluation.evaluate_bundle`: of its bundle and of the one that
    it is compared with."""
    bundles = [of for of in (result, result["compare"]) if of is not None]
    return [text for of in bundles if (text := warning(of["leak"], of["bundle_id"])) is not None]
