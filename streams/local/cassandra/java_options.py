"""The options with which Java runs Cassandra."""

import os
from collections.abc import Sequence
from pathlib import Path

from streams.local.nodes import Node

HEAP_OPTIONS = ("-Xms512m", "-Xmx1g", "-XX:MaxDirectMemorySize=512m", "-Xss512k")

RING_DELAY_MS = 5_000  # how long a node that replaces another one listens to the others first
SETUP_DELAY_MS = 200  # between two tries to create the default user, which needs a majority of the nodes

# Packages of the Java runtime that Cassandra uses. Source: Cassandra's own conf/jvm17-server.options
EXPORTED_PACKAGES = (
    "java.base/jdk.internal.misc",
    "java.base/java.lang.ref",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.rmi/sun.rmi.transport.tcp",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
)
OPENED_PACKAGES = (
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.math",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/jdk.internal.vm",
    "java.base/sun.nio.ch",
    "java.rmi/sun.rmi.transport.tcp",
    "jdk.management/com.sun.management",
    "jdk.management/com.sun.management.internal",
)


def java_options(node: Node, data_dir: Path, yaml: Path, logback: Path, classpath: Sequence[Path]) -> list[str]:
    """The options of one node, and the folder for temporary files that they name."""
    agent = next(jar for jar in classpath if jar.name.startswith("jamm-"))
    temporary = data_dir / "tmp"  # Cassandra runs native libraries from here, which /tmp may forbid (noexec)
    temporary.mkdir(exist_ok=True)
    return [
        *HEAP_OPTIONS,
        f"-javaagent:{agent}",
        *(option for package in EXPORTED_PACKAGES for option in ("--add-exports", f"{package}=ALL-UNNAMED")),
        *(option for package in OPENED_PACKAGES for option in ("--add-opens", f"{package}=ALL-UNNAMED")),
        "-Djdk.attach.allowAttachSelf=true",
        "-Djava.security.manager=allow",
        "-Dio.netty.tryReflectionSetAccessible=true",
        f"-Djava.io.tmpdir={temporary}",
        f"-Djna.tmpdir={temporary}",
        f"-Dcassandra.config={yaml.as_uri()}",
        f"-Dcassandra.storagedir={data_dir}",
        f"-Dlogback.configurationFile={logback}",
        "-Dcassandra-foreground=yes",
        # A single node has no other node to wait for, and the readiness probe waits for the others of several nodes.
        f"-Dcassandra.ring_delay_ms={1 if node.replicas == 1 else RING_DELAY_MS}",
        "-Dcassandra.skip_wait_for_gossip_to_settle=0",
        f"-Dcassandra.superuser_setup_delay_ms={0 if node.replicas == 1 else SETUP_DELAY_MS}",
        f"-Dcassandra.system_auth.default_rf={node.replicas}",
        "-Dcassandra.shutdown_announce_in_ms=0",
        f"-Dcassandra.available_processors={os.cpu_count() or 1}",
    ]
