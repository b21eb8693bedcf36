"""A real Kafka and a real Cassandra as processes of this machine, without Docker, root rights or an installed Java.

The package may import `encoder.errors`, `streams.config` and `streams.broker`. `thalweg up`, `thalweg down`, the demo,
the tests and the benchmarks use the package. The package creates no topics and no tables, and never reaches a service
of another machine.
"""

from streams.local.services import LocalServices, local_services

__all__ = ["LocalServices", "local_services"]
