"""The import of this package registers all scenarios."""

from tests.faults.scenarios import (
    archive,
    clocks,
    cluster,
    cluster_data,
    cut_off,
    data,
    events,
    restores,
    services,
    workers,
)

__all__ = [
    "archive",
    "clocks",
    "cluster",
    "cluster_data",
    "cut_off",
    "data",
    "events",
    "restores",
    "services",
    "workers",
]
