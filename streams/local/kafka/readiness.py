"""Whether a Kafka is ready for clients. The port opens earlier than that."""

import contextlib
import socket
import struct

from streams.broker.topics import broker_admin
from streams.config.errors import BrokerError, SettingsError
from streams.config.settings import Settings
from streams.local.kafka.features import has_newest_features

PROBE_LIMIT_S = 2.0
METADATA_KEY, METADATA_VERSION, CORRELATION_ID = 3, 4, 1
NULL_CLIENT_ID = -1
RESPONSE_HEAD = struct.Struct(">iiii")  # length, correlation id, throttle time in ms, number of brokers


def has_live_broker(host: str, port: int) -> bool:
    """True when Kafka answers a Metadata request with at least one live broker.

    Source: https://kafka.apache.org/protocol#The_Messages_Metadata. The request names no topics and does not allow the
    automatic creation of topics.
    """
    head = struct.pack(">hhih", METADATA_KEY, METADATA_VERSION, CORRELATION_ID, NULL_CLIENT_ID)
    request = head + struct.pack(">ib", 0, 0)
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=PROBE_LIMIT_S) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        response = connection.recv(RESPONSE_HEAD.size, socket.MSG_WAITALL)
        if len(response) == RESPONSE_HEAD.size:
            _length, correlation_id, _throttle_ms, brokers = RESPONSE_HEAD.unpack(response)
            return bool(correlation_id == CORRELATION_ID and brokers >= 1)
    return False


def serves_clients(settings: Settings, node_id: int) -> bool:
    """True when Kafka accepts the user of the settings, the node is live, and Kafka has all features of its release.

    The call raises features that are below their newest level. Raises LocalServiceError where Kafka refuses.
    """
    try:
        with broker_admin(settings) as admin:
            live = {broker["broker_id"] for broker in admin.describe_cluster()["brokers"]}
            return node_id in live and has_newest_features(admin)
    except (BrokerError, SettingsError):  # the port is open, and Kafka does not work yet
        return False
