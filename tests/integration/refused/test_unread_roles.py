"""A Cassandra that has lost the quorum of `system_auth` is waited for like any outage.

One node stands for a cluster: with more replicas than nodes, `system_auth` has no quorum. Cassandra keeps the roles for
long here, so that an administrator who is connected can change the keyspace back.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.commands.doctor.cassandra_checks import check_cassandra
from streams.config.errors import SettingsError, StoreError, restart_helps
from streams.local import LocalServices
from streams.local.services import prepare
from streams.store.protocol.cluster import connect
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment, run_thalweg, shopping
from tests.tools.rights.users import as_user, error_of, make_users, set_up, wait_until

USER = "limited"
EVENTS = 300
KEPT_S = 0.5  # longer than Cassandra keeps permissions and passwords
VALIDITY_YAML = """\
permissions_validity: 200ms
credentials_validity: 200ms
roles_validity: 1h
"""
REPLICAS = "ALTER KEYSPACE system_auth WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': {}}}"


@pytest.fixture
def own_services(tmp_path: Path) -> Iterator[LocalServices]:
    """Start secure services whose Cassandra asks system_auth again and again."""
    services = prepare(tmp_path / "services", ["kafka", "cassandra"], ends_with_parent=True, secure=True)
    with (services.data_dir / "cassandra" / "cassandra.yaml").open("a") as yaml:
        yaml.write(VALIDITY_YAML)
    services.start()
    try:
        services.wait_until_ready()
        yield services
    finally:
        services.kill()


def test_a_worker_waits_while_cassandra_cannot_read_its_roles(own_services: LocalServices, tmp_path: Path) -> None:
    deployment = Deployment(own_services, tiny_bundle(tmp_path / "bundle", items=20), tmp_path)
    admin, limited = deployment.settings, as_user(deployment.settings, USER)
    make_users(admin, USER)
    set_up(deployment, USER, "worker")
    deployment.settings = limited
    worker = deployment.worker()
    deployment.settings = admin
    worker.start()
    deployment.send(shopping(EVENTS, 30))
    deployment.wait_until_committed()

    cluster, session = connect(admin)
    session.execute(REPLICAS.format(3))
    time.sleep(KEPT_S)
    deployment.send(shopping(EVENTS, 30, seed=1))
    wait_until(lambda: "Cassandra does not take requests" in worker.log.read_text())
    error = error_of(run_thalweg(limited, "worker"))
    assert f"could check the login of user '{USER}'" in error
    assert "Unable to perform authentication: Cannot achieve consistency level" in error
    assert "keyspace system_auth" in error
    assert "THALWEG_CASSANDRA_PASSWORD" not in error
    with pytest.raises(StoreError, match="keyspace system_auth") as failed:  # what the doctor prints
        list(check_cassandra(limited, None))
    assert restart_helps(failed.value)
    assert worker.pid is not None, worker.last_lines()

    session.execute(REPLICAS.format(1))
    cluster.shutdown()
    deployment.wait_until_committed()
    worker.stop()
    log = worker.log.read_text()
    assert worker.exit_code == 0, log
    assert "Unable to perform authorization of permissions: Cannot achieve consistency level" in log
    assert "refused a request" not in log
    found = deployment.verify()
    assert (found.mismatches, found.events) == ([], 2 * EVENTS)
    wrong = as_user(admin, "nobody")
    with pytest.raises(SettingsError, match="refused user 'nobody'") as refused:
        connect(wrong)
    assert not restart_helps(refused.value)
