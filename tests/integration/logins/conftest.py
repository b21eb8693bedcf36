"""One Kafka and one Cassandra with every login, for all tests of this folder."""

import ssl
from collections.abc import Iterator

import pytest

from streams.config.settings import Settings, addresses
from streams.store.protocol.cluster import connect
from tests.integration.logins.astra import Astra
from tests.integration.logins.authority import Authority
from tests.integration.logins.issuer import Issuer
from tests.integration.logins.logins import Logins
from tests.integration.logins.services import add_scram_users, start_cassandra, start_kafka


@pytest.fixture(scope="package")
def logins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logins]:
    folder = tmp_path_factory.mktemp("logins")
    servers, clients = Authority(folder, "servers"), Authority(folder, "clients")
    server, issuer = servers.issue_joined("server", "127.0.0.1", "localhost"), Issuer()
    login = Logins(folder, servers, clients, issuer)
    kafka, login.brokers = start_kafka(folder / "kafka", server, clients.file, issuer)
    node = start_cassandra(folder / "cassandra", server, clients.file, login.certificate("cassandra"))
    login.cassandra = node.address
    try:
        kafka.wait_until_ready()
        add_scram_users(login.brokers["open"])
        node.wait_until_ready()
        login.astra = _start_astra(login, server)
        yield login
        login.astra.close()
    finally:
        kafka.kill()
        node.kill()
        issuer.close()


def _start_astra(logins: Logins, server: str) -> Astra:
    certificate, key = logins.clients.issue("proxy", "proxy")
    context = ssl.create_default_context(cafile=logins.servers.file)
    context.load_cert_chain(certificate, key)
    (node,) = addresses("cassandra", logins.cassandra)
    astra = Astra(server, logins.clients.file, node, context)
    cluster, session = connect(Settings(**logins.with_certificates()))
    astra.host_id = str(session.execute("SELECT host_id FROM system.local").one()[0])
    cluster.shutdown()
    return astra
