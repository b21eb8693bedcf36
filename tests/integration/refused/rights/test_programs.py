"""Every program runs with exactly the rights that `thalweg setup --for` gives, and names a missing one."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.broker.topics import ensure_topic
from streams.config.errors import RightsError
from streams.demo.worker_process import WorkerProcess
from streams.health.rights.cassandra_rights import cassandra_rights
from streams.health.rights.check import check_broker_rights, check_store_rights
from streams.health.rights.kafka_rights import kafka_rights
from streams.health.rights.roles import Role
from streams.local import LocalServices
from streams.store.session import Session
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment, event, run_thalweg, shopping
from tests.tools.rights.users import (
    as_user,
    cql,
    error_of,
    make_users,
    set_up,
    take_cassandra_rights,
    take_kafka_right,
    wait_until,
)
from tests.tools.serving import Server

SWITCHING: tuple[Role, ...] = ("bundles", "promote", "rollback", "retire")
PROGRAMS: tuple[Role, ...] = (
    *("replay", "items", "verify", "dlq", "erase", "subject", "monitor", "serve", "archive"),
    *SWITCHING,
)


@pytest.fixture(scope="module")
def deployment(services: LocalServices, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """Events that a worker of the administrator has processed, and a user for each program, with its rights."""
    bundle = tiny_bundle(tmp_path_factory.mktemp("bundle"), items=20)
    made = Deployment(services, bundle, tmp_path_factory.mktemp("deployment"))
    set_up(made, "thalweg", "worker")
    worker = WorkerProcess(made.settings, made.folder / "worker.log")
    worker.start()
    made.send([*shopping(200, 20), (b"nobody", b"no event")])
    made.wait_until_committed()
    wait_until(lambda: bool(cql(made.settings, f"SELECT bundle_id FROM {made.settings.keyspace}.active_bundle")))
    worker.stop()
    make_users(made.settings, *PROGRAMS)
    for program in PROGRAMS:
        set_up(made, program, program)
    return made


@pytest.fixture
def run_as(deployment: Deployment) -> Callable[..., str]:
    """Return a function that runs a command as the user of a program, and returns what the command printed."""

    def run(program: Role, *arguments: str, code: int = 0) -> str:
        folder = str(deployment.folder / program)
        ended = run_thalweg(as_user(deployment.settings, program), *arguments, THALWEG_MONITOR_FOLDER=folder)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout

    return run


def test_commands_run_with_their_rights(run_as: Callable[..., str], tmp_path: Path) -> None:
    log, items = tmp_path / "log.jsonl", tmp_path / "items.jsonl"
    log.write_text("".join(json.dumps(event(f"r-{i}", "user-1", "item-1")) + "\n" for i in range(20)))
    items.write_text('{"item_id": "item-1", "category": "shoes"}\n')
    assert "verify: clean" in run_as("verify", "verify")
    assert '"dead_letters":1' in run_as("dlq", "dlq", "--json")
    assert '"resent":1' in run_as("dlq", "dlq", "--resend", "--json")
    assert '"sent": 20' in run_as("replay", "replay", str(log), "--json")
    assert '"sent": 1' in run_as("items", "items", str(items), "--json")
    assert "has no worker" in run_as("erase", "erase", "user-3", "--timeout", "0", code=1)
    assert '"kind": "failed"' not in run_as("subject", "subject", "user-3", "--json")
    limited = json.loads(run_as("dlq", "subject", "user-3", "--json", code=1))
    failed = {one["place"] for one in limited["not_looked_at"] if one["kind"] == "failed"}
    assert any(place.startswith("topic ") for place in failed)
    assert any(place.startswith(("table ", "keyspace ")) for place in failed)
    assert '"deleted":0' in run_as("archive", "archive", "--to", str(tmp_path / "archive"), "--json")
    assert '"records":200' in run_as("monitor", "monitor", "--until-idle", "1", "--json")


def test_commands_about_bundles_run_with_their_rights(deployment: Deployment, run_as: Callable[..., str]) -> None:
    """A bundle that no worker serves stands in the tables, and has a topic."""
    settings, active, other = deployment.settings, deployment.bundle.bundle_id, "gru-aaaaaaaaaaaa"
    width = deployment.bundle.manifest.representation_width
    values = f"('{other}', {width}, 20, toTimestamp(now()), '{settings.updates_topic}.{other}')"
    columns = "bundle_id, width, items, first_served_at, updates_topic"
    cql(settings, f"INSERT INTO {settings.keyspace}.bundles ({columns}) VALUES {values}")
    ensure_topic(settings, f"{settings.updates_topic}.{other}", 4)
    assert json.loads(run_as("bundles", "bundles", "--json"))["bundles"][0]["alias"] == "champion"
    assert "no comparison of" in run_as("promote", "promote", other, code=1)
    assert f"{other} is the active bundle in place of {active}" in run_as("promote", "promote", other, "--force")
    assert f"{active} is the active bundle in place of {other}" in run_as("rollback", "rollback", "--force")
    printed = run_as("retire", "retire", other, "--yes")
    assert f"topic {settings.updates_topic}.{other} deleted" in printed
    assert f"retire: {other} is retired" in printed


def test_a_server_runs_with_its_rights(deployment: Deployment) -> None:
    server = Server(as_user(deployment.settings, "serve"), deployment.folder / "serve.log", ["--lookalikes"])
    server.start()
    try:
        wait_until(lambda: server.client.get("/v1/users/user-2/representation").status_code == 200)
        assert server.ask("/v1/users/user-2/explanation")["events"]
        assert server.client.delete("/v1/users/user-4").status_code == 202
    finally:
        server.stop()
    log = server.log.read_text()
    assert "lacks" not in log
    assert "uthoriz" not in log
    assert "cannot" not in log


@pytest.mark.parametrize("program", ["monitor", "serve", "verify", "promote", "rollback"])
def test_each_right_of_a_program_that_is_taken_away_is_named(deployment: Deployment, program: Role) -> None:
    """The rights go one after the other and do not come back, so the last error names all of them."""
    admin, limited = deployment.settings, as_user(deployment.settings, program)
    bundle, taken = deployment.bundle, []
    for right in [right for right in kafka_rights(admin, program) if not right.uses]:
        taken.append(str(right))
        take_kafka_right(admin, program, right)
        wait_until(
            lambda: (
                refusal(lambda: check_broker_rights(limited, program, bundle.bundle_id)).count("--add") == len(taken)
            )
        )
        text = refusal(lambda: check_broker_rights(limited, program, bundle.bundle_id))
        assert [name for name in taken if name not in text] == []
    session, lost = Session(limited), []
    rights = cassandra_rights(admin.keyspace, program, bundle.manifest.representation_width)
    for right in [right for right in rights if not right.uses]:
        lost.append(str(right))
        take_cassandra_rights(admin, program, [right])
        text = refusal(lambda: check_store_rights(limited, session, program, [bundle]))
        assert text.count("GRANT ") == len(lost)
        assert [name for name in lost if name not in text] == []
    session.close()
    if program != "serve":
        error = error_of(run_thalweg(limited, program, *(["gru-aaaaaaaaaaaa"] if program == "promote" else [])))
        assert [name for name in taken if name not in error] == []


def test_a_server_that_may_not_read_rows_ends_at_its_start(deployment: Deployment) -> None:
    rows = f"representations_{deployment.bundle.manifest.representation_width}"
    error = error_of(run_thalweg(as_user(deployment.settings, "items"), "serve", "--port", "0"))
    assert f"lacks SELECT on table {deployment.settings.keyspace}.active_bundle" in error
    assert f"GRANT SELECT ON TABLE {deployment.settings.keyspace}.{rows}" in error


def refusal(check: Callable[[], None]) -> str:
    """Return the error of a check, or nothing where the check finds all rights."""
    try:
        check()
    except RightsError as error:
        return str(error)
    return ""
