"""The optional fields that events lost, counted by field and reason."""

import logging
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter

from encoder.data.contract.judge import DROPPABLE_FIELDS, DroppedField, DropReason

logger = logging.getLogger(__name__)


class DroppedFields:
    """Counts dropped fields, and logs the first dropped field of each field and reason as an example."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counter = Counter(
            "thalweg_dropped_fields",
            "Optional fields that broke the contract and were left out of applied events, by field and reason.",
            labelnames=["field", "reason"],
            registry=registry,
        )
        for field in DROPPABLE_FIELDS:
            for reason in DropReason:
                self._counter.labels(field, reason)
        self._logged: set[tuple[str, str]] = set()

    def add(self, dropped: Sequence[DroppedField]) -> None:
        """Count the dropped fields of a micro-batch."""
        for one in dropped:
            self._counter.labels(one.field, one.reason).inc()
            kind = (one.field, one.reason)
            if kind not in self._logged:
                self._logged.add(kind)
                # The limit of the log counts messages by their templates, so the template holds the field and reason.
                logger.warning(
                    f"a value of {one.field} is left out, reason {one.reason}: event %r has %s %s; the event is "
                    "applied without this value, and thalweg_dropped_fields_total counts further events",
                    one.event_id,
                    one.path,
                    one.value,
                )
