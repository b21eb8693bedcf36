"""`thalweg rekey` runs with exactly the rights of `thalweg setup --for rekey`, and needs each of them."""

from collections.abc import Callable, Iterator

import pytest

from streams import cli
from streams.broker.topics import ensure_topic
from streams.commands.rekey import command
from streams.commands.replay.producer import Replay
from streams.config.settings import PREFIX
from streams.health.rights.check import lacking_on_broker
from streams.health.rights.kafka_rights import SOURCE, KafkaRight, dead_letter_topic, rekey_rights
from streams.local import LocalServices
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment, environment_of
from tests.support.mapped.segment import calls, records
from tests.tools.rights.users import Administrator, as_user, make_users, set_up, wait_until

USER = "rekey"
COUNT = 400
RIGHTS = rekey_rights(SOURCE, "<target>")


@pytest.fixture(scope="module")
def deployment(services: LocalServices, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A topic of Segment's calls, of which the user has written the first half, and a user with the rights."""
    bundle = tiny_bundle(tmp_path_factory.mktemp("bundle"), items=20)
    made = Deployment(services, bundle, tmp_path_factory.mktemp("deployment"))
    ensure_topic(made.settings, source_of(made), 2)
    make_users(made.settings, USER)
    found = set_up(made, USER, "rekey", source=source_of(made))
    for right in rights_of(made):
        assert f"right of user {USER}: {right}" in found["made"]
    assert f"topic {dead_letter_topic(source_of(made))}: 2 partitions, 1 replica" in found["made"]
    return made


@pytest.fixture(scope="module")
def administrator(deployment: Deployment) -> Iterator[Administrator]:
    with Administrator(deployment.settings) as connected:
        yield connected


@pytest.fixture
def rekey(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return a function that runs the command as the user."""
    for name, value in environment_of(as_user(deployment.settings, USER)).items():
        if name.startswith(PREFIX):
            monkeypatch.setenv(name, value)
    source, target = source_of(deployment), deployment.settings.behavior_topic
    return lambda: cli.main(["rekey", source, "--mapping", "segment", "--to", target])


def source_of(deployment: Deployment) -> str:
    return f"{deployment.settings.keyspace}.tracking"


def rights_of(deployment: Deployment) -> list[KafkaRight]:
    return rekey_rights(source_of(deployment), deployment.settings.behavior_topic)


def send(deployment: Deployment, count: int) -> None:
    """Send calls to the source."""
    Replay(deployment.settings, source_of(deployment)).run(records(calls(count, 20, 100, foreign=0.1)))


def test_the_command_runs_with_its_rights(
    deployment: Deployment, rekey: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    send(deployment, COUNT)
    wait_until(lambda: lacking_on_broker(as_user(deployment.settings, USER), rights_of(deployment), "") == [])
    assert rekey() == 0
    out, err = capsys.readouterr()
    assert f"{COUNT} records: " in out
    assert "became dead letters" in out
    assert err == ""


@pytest.mark.parametrize("right", RIGHTS, ids=str)
def test_each_right_is_needed_and_named(
    deployment: Deployment,
    administrator: Administrator,
    rekey: Callable[[], int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    right: KafkaRight,
) -> None:
    """The command names the right at its start. Without the question at the start, it ends with an error too."""
    limited, rights = as_user(deployment.settings, USER), rights_of(deployment)
    taken = rights[RIGHTS.index(right)]
    send(deployment, 20)
    with administrator.without_kafka_right(USER, taken):
        wait_until(lambda: lacking_on_broker(limited, rights, "") == [taken])
        assert rekey() == 1
        error = capsys.readouterr().err
        assert f"user {USER} of Kafka at {limited.broker} lacks {taken} [kafka-acls.sh " in error
        assert f"--operation {taken.operation} --{taken.resource} {taken.name}]" in error
        assert "`thalweg setup --for rekey --source TOPIC --user rekey`" in error
        monkeypatch.setattr(command, "check_broker_rights", lambda *arguments, **options: None)
        assert rekey() == 1
        assert len(capsys.readouterr().err.splitlines()) == 1
    wait_until(lambda: lacking_on_broker(limited, rights, "") == [])
    assert rekey() == 0
