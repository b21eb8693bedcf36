"""Scenarios that break Kafka, Cassandra or workers, and the checks after each: `python -m tests.faults --help`."""
