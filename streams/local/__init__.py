"""A real Kafka and a real Cassandra as processes of this machine: no Docker, no root, no installed Java."""

from streams.local.services import LocalServices, local_services

__all__ = ["LocalServices", "local_services"]
