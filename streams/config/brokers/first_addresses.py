"""A client of aiokafka that reaches none of the brokers that the client knows asks the addresses of the settings again.

aiokafka 0.14.0 asks the addresses of the settings once, and then knows the brokers of the last answer alone. When all
brokers restart, the first one that answers may know no other broker yet. A client that hears of one broker in this way
stands still when that broker ends, although the others are there. KIP-899 describes the same for the clients of Kafka.
"""

from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaError

from streams.config.brokers.silent_brokers import is_avoided

# aiokafka asks this connection besides the brokers that the client knows, and closes the connection after an answer.
FIRST = ("bootstrap", ConnectionGroup.DEFAULT)


def mend() -> None:
    """Let every client of aiokafka ask the addresses of the settings where the known brokers do not answer."""
    update = AIOKafkaClient._metadata_update

    async def update_from_any_broker(self: AIOKafkaClient, cluster: Any, topics: Any) -> bool:
        if await update(self, cluster, topics):
            return True
        connection = await _first_connection(self)
        if connection is None:
            return False
        former, self._conns[FIRST] = self._conns.get(FIRST), connection
        if former is not None:
            former.close()
        return bool(await update(self, cluster, topics))

    AIOKafkaClient._metadata_update = update_from_any_broker


async def _first_connection(client: AIOKafkaClient) -> AIOKafkaConnection | None:
    """A connection to one of the addresses of the settings. None where none of them can be reached."""
    for host, port, _ in client.hosts:
        if is_avoided(host, port):
            continue
        try:
            return await create_conn(
                host,
                port,
                client_id=client._client_id,
                request_timeout_ms=client._request_timeout_ms,
                ssl_context=client._ssl_context,
                security_protocol=client._security_protocol,
                max_idle_ms=client._connections_max_idle_ms,
                sasl_mechanism=client._sasl_mechanism,
                sasl_plain_username=client._sasl_plain_username,
                sasl_plain_password=client._sasl_plain_password,
                sasl_oauth_token_provider=client._sasl_oauth_token_provider,
            )
        except (OSError, KafkaError):  # TimeoutError is an OSError
            continue
    return None
