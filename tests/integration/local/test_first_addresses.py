"""A client that knows only a broker that is gone asks the addresses of the settings again."""

import asyncio

from aiokafka import AIOKafkaProducer
from aiokafka.structs import BrokerMetadata

from streams.broker.clients import make_producer
from streams.broker.topics import ensure_topics
from streams.config.settings import Settings
from streams.local.process.ports import HOST, free_ports

ANSWERED_WITHIN_S = 5.0


async def _send_with_one_known_broker(settings: Settings) -> list[int]:
    producer: AIOKafkaProducer = make_producer(settings)
    await producer.start()
    try:
        cluster, gone = producer.client.cluster, 99
        # What a client knows that asked a broker right after the restart of all brokers, when that broker has ended.
        cluster._brokers = {gone: BrokerMetadata(gone, HOST, free_ports(["gone"])["gone"], None)}
        cluster._partitions, cluster._broker_partitions = {}, {}
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            await producer.send_and_wait(settings.behavior_topic, b"{}")
        return [broker.nodeId for broker in cluster.brokers()]
    finally:
        await producer.stop()


def test_a_client_finds_the_brokers_of_the_settings_again(settings: Settings) -> None:
    ensure_topics(settings)
    assert asyncio.run(_send_with_one_known_broker(settings)) == [1]
