"""Faults on a real Kafka, Cassandra and workers, and what must hold after each: `python -m tests.faults --help`."""
