"""One Kafka with a listener for each login, and one Cassandra that asks for client certificates."""

import os
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from streams.config.errors import SettingsError, StoreError
from streams.config.settings import Settings
from streams.local.cassandra.configuration import LOGBACK_XML, common_yaml
from streams.local.cassandra.java_options import java_options
from streams.local.jvm.jars import cache_dir, classpaths
from streams.local.jvm.java_runtime import java_command, java_environment
from streams.local.kafka.configuration import LOG4J_YAML, common_properties
from streams.local.kafka.readiness import has_live_broker
from streams.local.kafka.storage import cluster_id, format_storage
from streams.local.nodes import Node
from streams.local.process.ports import HOST, free_ports
from streams.local.process.service_process import ServiceProcess
from streams.store.protocol.cluster import connect
from tests.integration.logins.issuer import Issuer

USER, PASSWORD = "anna", "Zx81-password-not-to-be-seen"
SESSION_S = 5.0  # a client with a token has to log in again after this time
NODE = Node(1, [HOST])
LISTENERS = ("plain", "scram512", "oauth", "mtls", "open")

LISTENER_PROPERTIES = """\
listeners={listeners},CONTROLLER://{host}:{controller_port}
advertised.listeners={listeners}
listener.security.protocol.map=PLAIN:SASL_SSL,SCRAM512:SASL_SSL,OAUTH:SASL_SSL,MTLS:SSL,OPEN:PLAINTEXT,\
CONTROLLER:PLAINTEXT
inter.broker.listener.name=OPEN
listener.name.plain.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.plain.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{user}="{password}";
listener.name.plain.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.scram512.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.scram512.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.oauth.oauthbearer.sasl.server.callback.handler.class=\
org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
listener.name.oauth.oauthbearer.connections.max.reauth.ms={session_ms}
listener.name.oauth.sasl.oauthbearer.jwks.endpoint.url={jwks_url}
listener.name.oauth.sasl.oauthbearer.expected.audience=kafka
listener.name.oauth.sasl.oauthbearer.expected.issuer={issuer}
listener.name.mtls.ssl.client.auth=required
listener.name.mtls.ssl.truststore.type=PEM
listener.name.mtls.ssl.truststore.location={client_ca}
ssl.keystore.type=PEM
ssl.keystore.location={server}
"""

CLIENT_CERTIFICATES_YAML = """\
authenticator: PasswordAuthenticator
authorizer: CassandraAuthorizer
client_encryption_options:
  enabled: true
  optional: false
  require_client_auth: true
  keystore: {server}
  truststore: {client_ca}
  ssl_context_factory:
    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory
"""


def start_kafka(folder: Path, server: str, client_ca: Path, issuer: Issuer) -> tuple[ServiceProcess, dict[str, str]]:
    """Start a broker that knows USER by PLAIN and SCRAM. Return the process, and by listener the address."""
    ports = free_ports([*LISTENERS, "controller"])
    folder.mkdir()
    common = common_properties(NODE, ports["controller"], folder / "log")
    listeners = LISTENER_PROPERTIES.format(
        listeners=",".join(f"{name.upper()}://{HOST}:{ports[name]}" for name in LISTENERS),
        host=HOST,
        controller_port=ports["controller"],
        user=USER,
        password=PASSWORD,
        session_ms=int(SESSION_S * 1000),
        jwks_url=issuer.jwks_url,
        issuer=issuer.url,
        client_ca=client_ca,
        server=server,
    )
    properties, log4j = folder / "server.properties", folder / "log4j2.yaml"
    properties.write_text(common + listeners)
    log4j.write_text(LOG4J_YAML)
    format_storage(NODE, folder / "log", cluster_id(folder))
    allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={issuer.jwks_url}"
    options = ["-Xms128m", "-Xmx512m", f"-Dlog4j2.configurationFile={log4j}", allowed]
    jars = classpaths(["kafka"], cache_dir(os.environ))["kafka"]
    addresses = {name: f"{HOST}:{ports[name]}" for name in LISTENERS}
    kafka = ServiceProcess(
        name="Kafka",
        address=addresses["open"],
        command=java_command(options, jars, "kafka.Kafka", [str(properties)]),
        log=folder / "kafka.log",
        is_ready=lambda: has_live_broker(HOST, ports["open"]),
        environment=java_environment(),
        ends_with_parent=True,
    )
    kafka.start(wait=False)
    return kafka, addresses


def add_scram_users(address: str) -> None:
    """Let the broker know USER by both mechanisms of SCRAM."""
    admin = KafkaAdminClient(bootstrap_servers=address)
    for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        faults = admin.alter_user_scram_credentials([UserScramCredentialUpsertion(USER, mechanism, PASSWORD)])
        assert not any(faults.values()), faults
    admin.close()


def start_cassandra(folder: Path, server: str, client_ca: Path, login: dict[str, str]) -> ServiceProcess:
    """Start a node that asks for client certificates and a password. login: the settings of a client."""
    ports = free_ports(["cassandra", "storage"])
    folder.mkdir()
    yaml, logback = folder / "cassandra.yaml", folder / "logback.xml"
    common = common_yaml(NODE, folder, ports["cassandra"], ports["storage"])
    yaml.write_text(common + CLIENT_CERTIFICATES_YAML.format(server=server, client_ca=client_ca))
    logback.write_text(LOGBACK_XML)
    address = f"{HOST}:{ports['cassandra']}"
    jars = classpaths(["cassandra"], cache_dir(os.environ))["cassandra"]
    options = java_options(NODE, folder, yaml, logback, jars)
    node = ServiceProcess(
        name="Cassandra",
        address=address,
        command=java_command(options, jars, "org.apache.cassandra.service.CassandraDaemon", []),
        log=folder / "cassandra.log",
        is_ready=lambda: _takes_login(Settings(cassandra=address, **login)),
        environment=java_environment(),
        ends_with_parent=True,
    )
    node.start(wait=False)
    return node


def _takes_login(settings: Settings) -> bool:
    try:
        connect(settings)[0].shutdown()
        return True
    except (SettingsError, StoreError):
        return False
