"""What every local service needs from the operating system: a process, free ports and a temporary data folder.

The package may import `streams.local.errors` alone. The package knows nothing about Kafka, Cassandra or Java.
"""
