"""The registries of Prometheus metrics, of which every process makes its own."""

import os

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics

# The variable of prometheus_client that says whether a counter also exports the time at which it was made.
CREATED_VARIABLE = "PROMETHEUS_DISABLE_CREATED_SERIES"


def new_registry() -> CollectorRegistry:
    """A registry that holds the processor time, the memory and the start time of this process.

    Counters and histograms export no series `..._created`, unless the variable CREATED_VARIABLE asks for these series.
    """
    registry = bare_registry()
    ProcessCollector(registry=registry)
    return registry


def bare_registry() -> CollectorRegistry:
    """A registry without the figures of this process, which follows the same rule for the series `..._created`."""
    if os.environ.get(CREATED_VARIABLE, "true").lower() in ("true", "1", "t"):
        disable_created_metrics()  # type: ignore[no-untyped-call]  # The library has no type for this function.
    return CollectorRegistry()
