"""The import of this package registers all scenarios."""

from tests.faults.scenarios import archive, data, events, restores, services, workers

__all__ = ["archive", "data", "events", "restores", "services", "workers"]
