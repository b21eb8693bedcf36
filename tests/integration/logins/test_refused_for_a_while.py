"""A node of Cassandra that refuses the login of a running program for a while, as nodes do that start."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from streams.config.settings import Settings, addresses
from streams.local.process.ports import free_ports
from streams.store.session import Session
from tests.integration.logins.logins import Logins
from tests.support.stream.cut_proxy import CutProxy

ROLE, PASSWORD = "guest_for_a_while", "correct horse"
CACHED_S = 2.0  # how long Cassandra remembers what a role may do
REFUSED_S = 3 * CACHED_S
BACK_WITHIN_S = 20.0


@pytest.fixture
def administrator(logins: Logins) -> Iterator[Session]:
    session = Session(Settings(**logins.with_certificates()))
    session.execute("make a role", f"CREATE ROLE {ROLE} WITH LOGIN = true AND PASSWORD = '{PASSWORD}'")
    yield session
    session.execute("drop the role", f"DROP ROLE {ROLE}")
    session.close()


def test_a_node_is_asked_again_after_it_refused_a_login(logins: Logins, administrator: Session) -> None:
    [port] = free_ports(["proxy"]).values()
    [node] = addresses("cassandra", logins.cassandra)
    guest = {"cassandra": f"127.0.0.1:{port}", "cassandra_user": ROLE, "cassandra_password": PASSWORD}
    with CutProxy("127.0.0.1", port, *node):
        session = Session(Settings(**{**logins.with_certificates(), **guest}))
    # The connections have ended.
    administrator.execute("refuse logins", f"ALTER ROLE {ROLE} WITH LOGIN = false")
    time.sleep(CACHED_S)
    with CutProxy("127.0.0.1", port, *node):
        time.sleep(REFUSED_S)
        assert session._session.get_pool_state() == {}, "the node refused no login"
        administrator.execute("take logins", f"ALTER ROLE {ROLE} WITH LOGIN = true")

        async def ask() -> None:
            async with asyncio.timeout(BACK_WITHIN_S):
                assert await session.request("SELECT release_version FROM system.local")

        asyncio.run(ask())
        session.close()
