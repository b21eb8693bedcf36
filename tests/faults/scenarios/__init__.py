"""The import of this package registers all scenarios."""

from tests.faults.scenarios import archive, cluster, data, events, services, workers

__all__ = ["archive", "cluster", "data", "events", "services", "workers"]
