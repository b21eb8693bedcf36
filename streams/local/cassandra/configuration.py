"""The configuration of the local Cassandra: `cassandra.yaml`, with or without TLS and authentication, and logging."""

from collections.abc import Mapping
from pathlib import Path

from streams.local.credentials import Credentials
from streams.local.nodes import Node

# Batch thresholds: Thalweg writes unlogged batches of up to 48 KiB of rows, which is more than the 5 KiB at which
# Cassandra warns by default. The values are those that `thalweg doctor` and docker/compose.yaml name, so that a bundle
# that works here also works there.
COMMON_YAML = """\
cluster_name: thalweg-local
num_tokens: 1
initial_token: {token}
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
      - seeds: "{seeds}"
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
hinted_handoff_enabled: {has_replicas}
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
# Two nodes that are asked at once to create one table would give the table two ids, and forget the rows of one of them.
use_deterministic_table_id: {has_replicas}
"""

OPEN_YAML = """\
authenticator: AllowAllAuthenticator
authorizer: AllowAllAuthorizer
"""

SECURE_YAML = """\
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
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

LOGBACK_XML = """\
<configuration>
  <appender name="STDOUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date{ISO8601} %-5level [%thread] %logger{20} - %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="STDOUT"/></root>
  <logger name="org.apache.cassandra.service.CassandraDaemon" level="INFO"/>
</configuration>
"""


def common_yaml(node: Node, data_dir: Path, port: int, storage_port: int) -> str:
    """The part of `cassandra.yaml` that does not depend on logins."""
    return COMMON_YAML.format(
        host=node.host,
        port=port,
        storage_port=storage_port,
        data_dir=data_dir.as_posix(),
        # All nodes start at the same time, and a seed does not wait for others. Each node has its place on the ring, so
        # that no two of them choose the same one.
        seeds=",".join(f"{host}:{storage_port}" for host in node.hosts),
        token=(2 * node.number - 1) * 2**63 // node.replicas - 2**63,
        has_replicas=str(node.replicas > 1).lower(),
    )


def cassandra_yaml(node: Node, data_dir: Path, ports: Mapping[str, int], credentials: Credentials | None) -> str:
    """The text of `cassandra.yaml`. The text holds no password: Cassandra stores users in a table."""
    common = common_yaml(node, data_dir, ports["cassandra"], ports["cassandra_storage"])
    if credentials is None:
        return common + OPEN_YAML
    server, ca = credentials.server_file.as_posix(), credentials.ca_file.as_posix()
    return common + SECURE_YAML.format(server=server, ca=ca)
