"""The import of this package registers all scenarios."""

from tests.faults.scenarios import data, events, services, workers

__all__ = ["data", "events", "services", "workers"]
