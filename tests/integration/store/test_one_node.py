"""A node of Cassandra that moves to another address behind its name, and the same node behind an older protocol."""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from export.runtime.bundle import Bundle
from streams.config.errors import StoreError
from streams.config.settings import Settings
from streams.engine.arena import StoredUser
from streams.engine.planning.rows import Rows
from streams.local.process.ports import free_ports
from streams.store.store import Store, open_store
from tests.support.bundles import tiny_bundle
from tests.support.stream.cassandra_nodes import CassandraNodes, cassandra_nodes
from tests.support.stream.cut_proxy import CutProxy

NAME = "cassandra-0.cassandra.example"
ADDRESSES = ("127.0.0.1", "127.0.1.1")
NEWEST, HEADER = 4, struct.Struct(">BBhBi")  # native_protocol_v4.spec, section 2
BACK_WITHIN_S = 20.0


class OlderServer(CutProxy):
    """In front of a node: refuses newer versions of the protocol, as servers do that do not know them."""

    async def _first_bytes(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        head = await reader.readexactly(HEADER.size)
        version, _, stream, _, _ = HEADER.unpack(head)
        if version <= NEWEST:
            return head
        text = f"Invalid or unsupported protocol version: {version}".encode()
        body = struct.pack(">ih", 0x000A, len(text)) + text
        writer.write(HEADER.pack(0x80 | NEWEST, 0, stream, 0x00, len(body)) + body)
        await writer.drain()
        raise ConnectionAbortedError


class Names:
    """The name service of this process: one name, whose address changes."""

    def __init__(self) -> None:
        self.address = ADDRESSES[0]
        self._look_up: Callable[..., Any] = socket.getaddrinfo

    def look_up(self, host: Any, *arguments: Any, **named: Any) -> Any:
        return self._look_up(self.address if host == NAME else host, *arguments, **named)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"), items=20)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CassandraNodes]:
    with cassandra_nodes(tmp_path_factory.mktemp("nodes")) as nodes:
        nodes.start(ADDRESSES[:1], {})
        yield nodes


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names.look_up)
    return names


@pytest.fixture
def store(nodes: CassandraNodes, names: Names, bundle: Bundle) -> Iterator[Store]:
    store = open_store(Settings(cassandra=f"{NAME}:{nodes.port}"), bundle)
    yield store
    store.close()


async def write(store: Store, bundle: Bundle, user_ids: Sequence[str]) -> None:
    rows, manifest = Rows(list(user_ids)), bundle.manifest
    rows.partition[:] = 0
    state = np.ones((len(rows), manifest.state_width), np.float32)
    vector = np.ones((len(rows), manifest.representation_width), np.float32)
    await store.users.write(store.users.encode(rows, state, vector, 1, now_ms=0))


async def users(store: Store, user_ids: Sequence[str]) -> list[str]:
    return [user.user_id for user in await store.users.read(user_ids) if isinstance(user, StoredUser)]


def test_an_older_protocol_is_spoken_where_the_server_knows_no_newer(nodes: CassandraNodes, bundle: Bundle) -> None:
    [port] = free_ports(["older"]).values()
    with OlderServer("127.0.0.1", port, ADDRESSES[0], nodes.port):
        store = open_store(Settings(cassandra=f"127.0.0.1:{port}", keyspace="older"), bundle)
        assert store.session._cluster.protocol_version == NEWEST
        asyncio.run(write(store, bundle, ["of-version-4"]))
        assert asyncio.run(users(store, ["of-version-4"])) == ["of-version-4"]
        store.close()


def test_a_request_after_the_end_of_the_connection_is_refused(nodes: CassandraNodes, bundle: Bundle) -> None:
    """A stop of a worker once waited for such a request until its limit."""
    store = open_store(Settings(cassandra=f"127.0.0.1:{nodes.port}", keyspace="closed"), bundle)
    store.close()
    with pytest.raises(StoreError, match="after the connection was closed"):
        asyncio.run(asyncio.wait_for(store.session.request("SELECT key FROM system.local"), 10))


def test_a_store_follows_a_name_to_another_address(
    store: Store, bundle: Bundle, nodes: CassandraNodes, names: Names
) -> None:
    async def write_while_the_node_moves() -> list[str]:
        await write(store, bundle, ["before"])
        await asyncio.to_thread(nodes.move, 1, ADDRESSES[1:])
        names.address = ADDRESSES[1]
        async with asyncio.timeout(BACK_WITHIN_S):
            await write(store, bundle, ["after"])
            return await users(store, ["before", "after"])

    assert sorted(asyncio.run(write_while_the_node_moves())) == ["after", "before"]
    assert store.session.execute("ask", "SELECT rpc_address FROM system.local").one()[0] == ADDRESSES[1]
    known = [node.address for node in store.session._cluster.metadata.all_hosts()]
    assert known == [ADDRESSES[1]], "an address that no node has any more is tried for ever"
