"""The local Kafka: processes that are both broker and controller (KRaft), for a small machine.

The package may import the other modules of `streams.local`, `streams.config` and `streams.broker`. The package writes
Kafka's configuration and storage and knows when Kafka is ready; the caller starts and stops the processes.
"""
