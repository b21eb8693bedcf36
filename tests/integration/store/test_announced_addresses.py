"""Two nodes of Cassandra that announce addresses which nobody reaches, as behind a network of containers."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import msgspec
import numpy as np
import pytest

from export.runtime.bundle import Bundle
from streams.commands.doctor.cassandra_checks import check_cassandra
from streams.config.settings import Settings, translated_addresses
from streams.engine.arena import StoredUser
from streams.engine.planning.rows import Rows
from streams.local.process.ports import free_ports
from streams.store.protocol.cluster import ASK_ANOTHER_S, REQUEST_TIMEOUT_S
from streams.store.session import Session
from streams.store.store import Store, open_store
from tests.support.bundles import tiny_bundle
from tests.support.stream.cassandra_nodes import CassandraNodes, cassandra_nodes
from tests.support.stream.cut_proxy import CutProxy

HOSTS = ("127.0.0.1", "127.0.0.2")
ANNOUNCED = ("127.0.0.51", "127.0.0.52")  # Nothing listens here.
MOVED = "127.0.1.2"
KNOWN_WITHIN_S = 30.0
READS = 20


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CassandraNodes]:
    with cassandra_nodes(tmp_path_factory.mktemp("nodes")) as nodes:
        more = {number: f"broadcast_rpc_address: {host}\n" for number, host in enumerate(ANNOUNCED, 1)}
        nodes.start(HOSTS, more)
        yield nodes


@pytest.fixture(scope="module")
def proxies(nodes: CassandraNodes) -> Iterator[list[CutProxy]]:
    """A forwarder to each node."""
    with ExitStack() as stack:
        ports = free_ports([*HOSTS]).values()
        yield [
            stack.enter_context(CutProxy("127.0.0.1", port, host, nodes.port))
            for port, host in zip(ports, HOSTS, strict=True)
        ]


@pytest.fixture
def settings(proxies: list[CutProxy]) -> Settings:
    """The first node alone is named, by its forwarder."""
    places = [f"localhost:{proxy.port}" for proxy in proxies]
    pairs = ", ".join(f"{announced}={place}" for announced, place in zip(ANNOUNCED, places, strict=True))
    return Settings(cassandra=places[0], cassandra_addresses=pairs, keyspace="announced", replication=2)


@pytest.fixture
def store(settings: Settings, bundle: Bundle) -> Iterator[Store]:
    store = open_store(settings, bundle)
    assert wait_for(lambda: len(connected(store.session)) == len(HOSTS))
    yield store
    store.close()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"), items=20)


def connected(session: Session) -> set[str]:
    """The nodes to which requests go, as host:port."""
    state = session._session.get_pool_state()
    return {str(node) for node, pool in state.items() if pool["open_count"]}


def wait_for(holds: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + KNOWN_WITHIN_S
    while not holds() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return holds()


async def write_and_read(store: Store, bundle: Bundle) -> list[float]:
    """Write rows of users, read each of them in a request of its own, and return how long the reads took."""
    rows, manifest = Rows([f"user-{number}" for number in range(READS)]), bundle.manifest
    rows.partition[:] = 0
    state = np.ones((READS, manifest.state_width), np.float32)
    vector = np.ones((READS, manifest.representation_width), np.float32)
    await store.users.write(store.users.encode(rows, state, vector, 1, now_ms=0))

    async def read(user_id: str) -> float:
        began_s = time.monotonic()
        [found] = await store.users.read([user_id])
        assert isinstance(found, StoredUser)
        return time.monotonic() - began_s

    return list(await asyncio.gather(*map(read, rows.user_id)))


def test_only_the_named_node_is_reached_without_the_setting(settings: Settings) -> None:
    assert [state for state, _ in nodes_of_doctor(settings)] == ["ok"]
    settings = msgspec.structs.replace(settings, cassandra_addresses=None)
    [(state, detail)] = nodes_of_doctor(settings)
    assert (state, ANNOUNCED[1] in detail) == ("note", True), detail
    session = Session(settings)
    known = session._cluster.metadata.all_hosts
    try:
        assert wait_for(lambda: [node.is_up for node in known() if node.address == ANNOUNCED[1]] == [False])
        assert connected(session) == {settings.cassandra.replace("localhost", "127.0.0.1")}
    finally:
        session.close()


def test_every_node_is_reached_by_the_setting(settings: Settings, store: Store, bundle: Bundle) -> None:
    assert connected(store.session) == set(places(settings))
    for node in store.session._cluster.metadata.all_hosts():
        query = "SELECT rpc_address FROM system.local"
        announced = store.session._session.execute(query, host=node).one()[0]
        assert dict(zip(ANNOUNCED, places(settings), strict=True))[announced] == str(node)
    asyncio.run(write_and_read(store, bundle))


def test_rows_of_users_are_read_from_another_node_while_one_is_silent(
    store: Store, bundle: Bundle, proxies: list[CutProxy]
) -> None:
    async def read_before_and_after_the_cut() -> list[float]:
        await write_and_read(store, bundle)
        proxies[1].cut()
        return await write_and_read(store, bundle)

    try:
        took_s = asyncio.run(read_before_and_after_the_cut())
    finally:
        proxies[1].mend()
    assert max(took_s) > ASK_ANOTHER_S, "no read was sent to the silent node"
    assert max(took_s) < REQUEST_TIMEOUT_S / 2
    assert store.session.retries == 0


def test_a_node_that_comes_back_on_another_address_is_followed(
    store: Store, bundle: Bundle, nodes: CassandraNodes, settings: Settings
) -> None:
    nodes.move(2, [HOSTS[0], MOVED])  # and announces this address, which everybody reaches
    expected = {places(settings)[0], f"{MOVED}:{nodes.port}"}
    assert wait_for(lambda: connected(store.session) == expected), connected(store.session)
    asyncio.run(write_and_read(store, bundle))
    assert {str(node) for node in store.session._cluster.metadata.all_hosts()} == expected


def nodes_of_doctor(settings: Settings) -> list[tuple[str, str]]:
    findings = check_cassandra(settings, None)
    return [(finding.state, finding.detail) for finding in findings if finding.subject == "cassandra nodes"]


def places(settings: Settings) -> list[str]:
    assert settings.cassandra_addresses is not None
    return [f"{host}:{port}" for host, port in translated_addresses(settings.cassandra_addresses).values()]
