"""Whether scored events may have been trained on."""

from typing import Any

from encoder.log import EventLog
from export.bundle import Manifest


def find_leak(log: EventLog, manifest: Manifest) -> dict[str, Any]:
    """Scored events that are not later than the training log's last event: the model may know them, or what followed.

    {"training_last_ms": None where the manifest does not say, "first_scored_ms", "not_later": how many, "share"}
    """
    last_ms = manifest.training.get("data", {}).get("last_ms")
    not_later = 0 if last_ms is None else int((log.time_ms <= last_ms).sum())
    return {
        "training_last_ms": last_ms,
        "first_scored_ms": int(log.time_ms[0]),
        "not_later": not_later,
        "share": not_later / len(log),
    }


def warning(leak: dict[str, Any]) -> str | None:
    """What to say of it, None where all is well."""
    if leak["training_last_ms"] is None:
        return "UNCHECKED: the manifest does not say when the training log ends, so a leak cannot be excluded"
    if leak["not_later"]:
        return (
            f"LEAK: {leak['not_later']:,} of the scored events ({leak['share']:.1%}) are not later than the training "
            f"log's last event ({leak['training_last_ms']} ms). The figures are too good: score later events (--rest)"
        )
    return None
