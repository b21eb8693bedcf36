"""The options with which Java runs Cassandra."""

import os
from collections.abc import Sequence
from pathlib import Path

HEAP_OPTIONS = ("-Xms512m", "-Xmx1g", "-XX:MaxDirectMemorySize=512m", "-Xss512k")

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


def java_options(data_dir: Path, yaml: Path, logback: Path, classpath: Sequence[Path]) -> list[str]:
    """The options of one Cassandra, and the folder for temporary files that they name."""
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
        # A single node has no other node to wait for.
        "-Dcassandra.ring_delay_ms=1",
        "-Dcassandra.skip_wait_for_gossip_to_settle=0",
        "-Dcassandra.superuser_setup_delay_ms=0",
        "-Dcassandra.shutdown_announce_in_ms=0",
        f"-Dcassandra.available_processors={os.cpu_count() or 1}",
    ]
