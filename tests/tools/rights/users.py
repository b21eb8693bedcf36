"""Users with few rights on a secure Kafka and Cassandra."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion

from streams.broker.topics import broker_admin
from streams.commands.setup.command import make
from streams.commands.setup.kafka_setup import acl_of
from streams.commands.setup.plan import make_plan, needs_cassandra
from streams.config.settings import Secret, Settings
from streams.health.rights.cassandra_rights import CassandraRight
from streams.health.rights.kafka_rights import KafkaRight
from streams.health.rights.roles import Role
from streams.store.protocol.cluster import connect
from tests.support.deployment import Deployment

PASSWORD = "Zx81-limited"
SEEN_WITHIN_S = 10.0


def cql(settings: Settings, *statements: str) -> list[Any]:
    """Run statements as the administrator. Return the rows of the last one."""
    cluster, session = connect(settings)
    answers = [list(session.execute(statement)) for statement in statements]
    cluster.shutdown()
    return answers[-1]


def make_users(settings: Settings, *names: str) -> None:
    """Make users of both services, who have no rights yet."""
    with broker_admin(settings) as admin:
        users = [UserScramCredentialUpsertion(name, ScramMechanism.SCRAM_SHA_512, PASSWORD) for name in names]
        assert admin.alter_user_scram_credentials(users) == dict.fromkeys(names)
    cql(settings, *(f"CREATE ROLE {name} WITH PASSWORD = '{PASSWORD}' AND LOGIN = true" for name in names))


def as_user(settings: Settings, name: str) -> Settings:
    """Return the settings with the login of a user of `make_users`."""
    changed = {f"{service}_user": name for service in ("broker", "cassandra")}
    passwords = {f"{service}_password": Secret(PASSWORD) for service in ("broker", "cassandra")}
    return msgspec.structs.replace(settings, **changed, **passwords)


def set_up(deployment: Deployment, name: str, *programs: Role, source: str | None = None) -> dict[str, list[str]]:
    """Do for a user what `thalweg setup` does. Return what was made, what existed and what differs.

    source: the topic that `thalweg rekey` reads.
    """
    settings, manifest = deployment.settings, deployment.bundle.manifest
    plan = make_plan(settings, programs, manifest if needs_cassandra(programs) else None, name, name, source)
    found: dict[str, list[str]] = {}
    for step in make(settings, plan, manifest if plan.schema else None, source):
        found.setdefault(step.state, []).append(f"{step.what}: {step.detail}")
    return found


def give_kafka_right(settings: Settings, name: str, right: KafkaRight) -> None:
    with broker_admin(settings) as admin:
        assert not admin.create_acls([acl_of(right, name)])["failed"]


def take_kafka_right(settings: Settings, name: str, right: KafkaRight) -> None:
    with broker_admin(settings) as admin:
        ((_, matching, _),) = admin.delete_acls([acl_of(right, name)])
        assert len(matching) == 1


def take_cassandra_rights(settings: Settings, name: str, rights: Sequence[CassandraRight]) -> None:
    cql(settings, *(_revocation(right, name) for right in rights))


class Administrator:
    """Takes rights away and gives them back, over connections that stay open inside a `with` block."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connections = contextlib.ExitStack()

    def __enter__(self) -> "Administrator":
        self._kafka = self._connections.enter_context(broker_admin(self._settings))
        cluster, self._cassandra = connect(self._settings)
        self._connections.callback(cluster.shutdown)
        return self

    def __exit__(self, *_: object) -> None:
        self._connections.close()

    @contextlib.contextmanager
    def without_kafka_right(self, name: str, right: KafkaRight) -> Iterator[None]:
        """Take a right away from a user inside the block."""
        ((_, matching, _),) = self._kafka.delete_acls([acl_of(right, name)])
        assert len(matching) == 1
        try:
            yield
        finally:
            assert not self._kafka.create_acls([acl_of(right, name)])["failed"]

    @contextlib.contextmanager
    def without_cassandra_rights(self, name: str, *rights: CassandraRight) -> Iterator[None]:
        """Take rights away from a role inside the block."""
        for right in rights:
            self._cassandra.execute(_revocation(right, name))
        try:
            yield
        finally:
            for right in rights:
                self._cassandra.execute(right.grant(name))


def _revocation(right: CassandraRight, name: str) -> str:
    return right.grant(name).replace("GRANT", "REVOKE").replace(" TO ", " FROM ")


def wait_until(is_so: Callable[[], bool], limit_s: float = SEEN_WITHIN_S) -> None:
    """Rights that are given or taken count a moment later."""
    give_up_at_s = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < give_up_at_s, f"not so after {limit_s} s"
        time.sleep(0.02)


def error_of(ended: subprocess.CompletedProcess[str]) -> str:
    """Return the error with which a command has ended."""
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stderr.strip().splitlines()[-1]
