"""The lock file `jars.lock.json`: every jar of Kafka and Cassandra with size and hash.

With the lock, a first start does not read the 150 project files that name the jars, and runs exactly the tested jars.
After a change of VERSIONS, `python -m streams.local.jvm.write_jar_lock` writes the lock again.
"""

from pathlib import Path

import msgspec

VERSIONS = {
    "kafka": ["org.apache.kafka:kafka_2.13:4.3.1", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"],
    "cassandra": ["org.apache.cassandra:cassandra-all:5.0.6"],
}
LOCK_FILE = Path(__file__).with_name("jars.lock.json")


class Jar(msgspec.Struct, frozen=True):
    """One jar of the lock."""

    coordinate: str  # Maven's group:artifact:version[:classifier]
    path: str  # below the cache's folder of jars
    size_bytes: int = msgspec.field(name="bytes")
    sha256: str  # hexadecimal


def locked_jars() -> dict[str, list[Jar]]:
    """The jars of each service, by the service's name."""
    return msgspec.json.decode(LOCK_FILE.read_bytes(), type=dict[str, list[Jar]])
