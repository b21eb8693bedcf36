"""Cassandra as one process of one node, made for a single small machine."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from streams.local.certificates import USER, Locks
from streams.local.cql import is_locked, speaks_cql
from streams.local.jvm.java import java_command, java_environment
from streams.local.process.ports import HOST
from streams.local.process.processes import Service

# Between requests Cassandra's threads wake up every 10 us or so to look for work. With the system's slack of 50 us that
# took much of its CPU time, on cores that the worker needs: 117 us an event at 4,000 events/s, and 80 with this; at 100
# events/s 2,900 and 1,400. A request may wait so much longer for its thread; more slack gains little.
TIMER_SLACK_US = 500

HEAP_OPTIONS = ("-Xms512m", "-Xmx1g", "-XX:MaxDirectMemorySize=512m", "-Xss512k")

# Batch thresholds: Thalweg writes unlogged batches of up to 40 KiB of rows, above the 5 KiB of Cassandra's default
# warning. These are the values that `thalweg doctor` and the compose file name, no more: what works here works there.
YAML = """\
cluster_name: thalweg-local
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
listen_address: {host}
rpc_address: {host}
storage_port: {storage_port}
native_transport_port: {port}
start_native_transport: true
endpoint_snitch: SimpleSnitch
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "{host}:{storage_port}"
authorizer: AllowAllAuthorizer
role_manager: CassandraRoleManager
data_file_directories: ["{data_dir}/data"]
commitlog_directory: "{data_dir}/commitlog"
cdc_raw_directory: "{data_dir}/cdc_raw"
saved_caches_directory: "{data_dir}/saved_caches"
hints_directory: "{data_dir}/hints"
commitlog_sync: periodic
commitlog_sync_period: 1000ms
commitlog_segment_size: 16MiB
commitlog_total_space: 256MiB
disk_failure_policy: die
commit_failure_policy: die
hinted_handoff_enabled: false
auto_snapshot: false
incremental_backups: false
memtable_heap_space: 192MiB
memtable_offheap_space: 128MiB
memtable_allocation_type: heap_buffers
key_cache_size: 16MiB
file_cache_size: 64MiB
networking_cache_size: 16MiB
concurrent_reads: 8
concurrent_writes: 8
concurrent_counter_writes: 2
concurrent_compactors: 1
native_transport_max_threads: 8
batch_size_warn_threshold: 64KiB
batch_size_fail_threshold: 640KiB
unlogged_batch_across_partitions_warn_threshold: 1000
storage_compatibility_mode: NONE
sstable:
  selected_format: bti
  format: {{}}
materialized_views_enabled: false
user_defined_functions_enabled: false
"""

OPEN = "authenticator: AllowAllAuthenticator\n"
LOCKED = """\
authenticator: PasswordAuthenticator
client_encryption_options:
  enabled: true
  optional: false
  keystore: {server}
  ssl_context_factory: &pem
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
server_encryption_options:
  internode_encryption: all
  require_client_auth: true
  keystore: {server}
  truststore: {ca}
  ssl_context_factory: *pem
"""

LOGBACK = """\
<configuration>
  <appender name="STDOUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date{ISO8601} %-5level [%thread] %logger{20} - %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="STDOUT"/></root>
  <logger name="org.apache.cassandra.service.CassandraDaemon" level="INFO"/>
</configuration>
"""

# Packages of the Java runtime that Cassandra reaches into: its own conf/jvm17-server.options
EXPORTS = (
    "java.base/jdk.internal.misc",
    "java.base/java.lang.ref",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.rmi/sun.rmi.transport.tcp",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
)
OPENS = (
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


def cassandra_service(
    data_dir: Path,
    ports: Mapping[str, int],
    classpath: Sequence[Path],
    bound: bool,
    locks: Locks | None,
    for_hours: bool,
) -> Service:
    """A Cassandra whose data, configuration and log are in `data_dir`. It is not started yet."""
    data_dir.mkdir(parents=True, exist_ok=True)
    yaml, logback = data_dir / "cassandra.yaml", data_dir / "logback.xml"
    yaml.write_text(
        YAML.format(
            host=HOST, port=ports["cassandra"], storage_port=ports["cassandra_storage"], data_dir=data_dir.as_posix()
        )
        + (OPEN if locks is None else LOCKED.format(server=locks.server.as_posix(), ca=locks.ca.as_posix()))
    )
    logback.write_text(LOGBACK)
    return Service(
        name="Cassandra",
        address=f"{HOST}:{ports['cassandra']}",
        command=java_command(
            _options(data_dir, yaml, logback, classpath),
            classpath,
            "org.apache.cassandra.service.CassandraDaemon",
            [],
            for_hours,
        ),
        log=data_dir / "cassandra.log",
        answers=_probe(ports["cassandra"], locks),
        environment=java_environment(),
        bound=bound,
        timer_slack_us=TIMER_SLACK_US,
    )


def _probe(port: int, locks: Locks | None) -> Callable[[], bool]:
    if locks is None:
        return lambda: speaks_cql(HOST, port)
    context, password = locks.context(), locks.passwords["cassandra"]
    return lambda: is_locked(HOST, port, context, USER, password)


def _options(data_dir: Path, yaml: Path, logback: Path, classpath: Sequence[Path]) -> list[str]:
    agent = next(jar for jar in classpath if jar.name.startswith("jamm-"))
    temporary = data_dir / "tmp"  # native libraries are unpacked here, which /tmp may forbid (noexec)
    temporary.mkdir(exist_ok=True)
    return [
        *HEAP_OPTIONS,
        f"-javaagent:{agent}",
        *(option for package in EXPORTS for option in ("--add-exports", f"{package}=ALL-UNNAMED")),
        *(option for package in OPENS for option in ("--add-opens", f"{package}=ALL-UNNAMED")),
        "-Djdk.attach.allowAttachSelf=true",
        "-Djava.security.manager=allow",
        "-Dio.netty.tryReflectionSetAccessible=true",
        f"-Djava.io.tmpdir={temporary}",
        f"-Djna.tmpdir={temporary}",
        f"-Dcassandra.config={yaml.as_uri()}",
        f"-Dcassandra.storagedir={data_dir}",
        f"-Dlogback.configurationFile={logback}",
        "-Dcassandra-foreground=yes",
        # a single node has nobody to wait for
        "-Dcassandra.ring_delay_ms=1",
        "-Dcassandra.skip_wait_for_gossip_to_settle=0",
        "-Dcassandra.superuser_setup_delay_ms=0",
        "-Dcassandra.shutdown_announce_in_ms=0",
        f"-Dcassandra.available_processors={os.cpu_count() or 1}",
    ]
