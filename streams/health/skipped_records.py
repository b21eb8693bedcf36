"""The records that are no events by the mapping, counted by reason."""

import logging
from collections import Counter
from collections.abc import Sequence

import prometheus_client
from prometheus_client import CollectorRegistry

from encoder.data.mapping.records import SkipReason
from streams.engine.codec import Skipped

logger = logging.getLogger(__name__)

EXAMPLES = 10  # values of a reason that the log shows, so that a dropped action that was meant as an event is noticed


class SkippedRecords:
    """Counts skipped records, and logs the first values of each reason."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counter = prometheus_client.Counter(
            "thalweg_skipped_records",
            "Records that are no events by the mapping, by reason.",
            labelnames=["reason"],
            registry=registry,
        )
        for reason in SkipReason:
            self._counter.labels(reason)
        self._logged: dict[str, set[str]] = {}

    def add(self, skipped: Sequence[Skipped]) -> None:
        """Count the skipped records of a micro-batch."""
        for reason, count in Counter(one.reason for one in skipped).items():
            self._counter.labels(reason).inc(count)
        for one in dict.fromkeys(skipped):
            values = self._logged.setdefault(one.reason, set())
            if one.value not in values and len(values) < EXAMPLES:
                values.add(one.value)
                logger.info(
                    f"records are skipped by the mapping, reason {one.reason}: %s; thalweg_skipped_records_total "
                    "counts them",
                    one.value,
                )
