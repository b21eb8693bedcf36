"""The containers of docker/kubernetes run as processes, on a real Kafka and Cassandra, with the rights that they name.

That a program names each single right which is taken away at its start is what the other tests of this folder show. The
list of the rights is the same: tests/contract/kubernetes/test_surroundings.py.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from export.runtime.bundle import Bundle
from streams.broker.topics import _grow, broker_admin, describe_topic, ensure_topic, topic_exists
from streams.commands.replay.producer import Replay
from streams.commands.verify.verification import verify
from streams.config.errors import RightsError
from streams.config.settings import Secret, Settings
from tests.support.bundles import tiny_bundle
from tests.support.deployment import shopping
from tests.tools.docker import manifests
from tests.tools.docker.cluster import TOKEN, of_workload, pods_of, run_all, start, stop
from tests.tools.docker.manifests import named
from tests.tools.docker.pods import Pods, missing_program
from tests.tools.rights.users import PASSWORD, wait_until

DEMO_BUNDLE = Path(__file__).parents[4] / "streams" / "demo" / "bundle"
COMMITTED_WITHIN_S = 60.0

if manifests.MAY_SKIP:
    pytest.skip(manifests.REASON, allow_module_level=True)
if (reason := missing_program()) is not None and os.environ.get("CI") != "true":
    pytest.skip(reason, allow_module_level=True)


@pytest.fixture(scope="module")
def resources() -> list[dict[str, Any]]:
    return manifests.render("small")


@pytest.fixture(scope="module")
def settings(cluster: Settings) -> Settings:
    """Return the settings of an administrator of the cluster."""
    return msgspec.structs.replace(cluster, bundle=str(DEMO_BUNDLE))


@pytest.fixture(scope="module")
def pods(settings: Settings, resources: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Pods:
    return pods_of(settings, resources, tmp_path_factory.mktemp("pods"), DEMO_BUNDLE)


def wait_until_committed(settings: Settings, bundle_id: str) -> None:
    group, deadline_s = settings.consumer_group_id(bundle_id), time.monotonic() + COMMITTED_WITHIN_S
    while describe_topic(settings, settings.behavior_topic, group).lag > 0:
        assert time.monotonic() < deadline_s, "the worker has not committed everything"
        time.sleep(0.2)


def test_a_pod_whose_image_holds_another_bundle_ends(
    settings: Settings, resources: list[dict[str, Any]], tmp_path: Path
) -> None:
    other = tiny_bundle(tmp_path / "bundle", items=20)
    copying, *_ = of_workload(resources, "StatefulSet", "thalweg-worker")
    ended = pods_of(settings, resources, tmp_path, Path(str(other.path))).run(copying)
    assert ended.returncode == 1
    assert not list((tmp_path / "thalweg-worker-0" / "volumes" / "bundle").iterdir())


def test_the_programs_of_the_small_overlay_run_with_the_rights_of_its_users(
    settings: Settings, resources: list[dict[str, Any]], pods: Pods, tmp_path: Path
) -> None:
    bundle = Bundle.load(DEMO_BUNDLE)
    assert named(resources, "ConfigMap", "thalweg-bundle")["data"] == {"id": bundle.bundle_id}
    printed = run_all(pods, of_workload(resources, "Job", "thalweg-setup"))
    assert "right of role thalweg_serve: SELECT" in printed
    running = []
    try:
        worker = start(pods, of_workload(resources, "StatefulSet", "thalweg-worker"))
        running.append(worker)
        monitor = start(pods, of_workload(resources, "StatefulSet", "thalweg-monitor"))
        running.append(monitor)
        assert "300 records sent" in sent(settings, resources, shopping(300, 20), tmp_path)
        Replay(settings, settings.behavior_topic).run([(b"nobody", b"no event"), (b"user-1", None)])
        wait_until_committed(settings, bundle.bundle_id)
        assert worker.succeeds("readinessProbe")
        assert worker.succeeds("livenessProbe")
        server = start(pods, of_workload(resources, "Deployment", "thalweg-serve"))
        running.append(server)
        wait_until(lambda: server.succeeds("readinessProbe"))
        path, login = "/v1/users/user-2/representation", {"Authorization": f"Bearer {TOKEN}"}
        assert server.client.get(path).status_code == 401
        wait_until(lambda: server.client.get(path, headers=login).status_code == 200)
        wait_until(lambda: monitor.scrape().total("thalweg_monitor_records_total") >= 300)
        assert monitor.succeeds("readinessProbe")
        assert archived(settings, tmp_path) == 302
        assert verified(settings, resources, tmp_path) == 300
    finally:
        for one in running:
            stop(one)
    found = verify(settings, bundle)
    assert (found.mismatches, found.events, found.dead_letters, found.erasures) == ([], 300, 1, 1)


def sent(settings: Settings, resources: list[dict[str, Any]], events: list[tuple[bytes, bytes]], folder: Path) -> str:
    """Run the Job of the overlay `replay`, as the user of producers. Return what the Job printed."""
    replaying = [*manifests.render("replay"), *manifests.of_kind(resources, "KafkaUser")]
    (replay,) = of_workload(replaying, "Job", "thalweg-replay")
    log = folder / "thalweg-replay-0" / "volumes" / "events" / "events.jsonl"  # of the ConfigMap
    log.parent.mkdir(parents=True)
    log.write_bytes(b"".join(value + b"\n" for _, value in events))
    return run_all(pods_of(settings, replaying, folder, DEMO_BUNDLE), [replay])


def verified(settings: Settings, resources: list[dict[str, Any]], folder: Path) -> int:
    """Run the Job of the overlay `verify` while the workers run. Return the number of events that it has applied."""
    verifying = [*manifests.render("verify"), *manifests.of_kind(resources, "KafkaUser")]
    copying, program = of_workload(verifying, "Job", "thalweg-verify")
    pods = pods_of(settings, verifying, folder, DEMO_BUNDLE)
    run_all(pods, [copying])
    ended = pods.run(program, [*program.spec["args"], "--json"])
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return int(json.loads(ended.stdout.splitlines()[-1])["events"])


def archived(settings: Settings, folder: Path) -> int:
    """Run the archive of production to a folder in place of a bucket. Return the number of its records."""
    production = manifests.render("production")
    (archive,) = of_workload(production, "CronJob", "thalweg-archive")
    to = folder / "thalweg-archive-0" / "volumes" / "tmp" / "archive"
    ended = pods_of(settings, production, folder, DEMO_BUNDLE).run(archive, ["archive", "--to", str(to), "--json"])
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return int(json.loads(ended.stdout.splitlines()[-1])["records"])


def test_setup_makes_the_topic_of_a_later_bundle(
    settings: Settings, resources: list[dict[str, Any]], tmp_path: Path
) -> None:
    later = tiny_bundle(tmp_path / "bundle", items=20)
    _, *giving = of_workload(resources, "Job", "thalweg-setup")
    pods = pods_of(settings, resources, tmp_path / "pods", Path(str(later.path)))
    for container in giving:
        ended = pods.run(container, [*container.spec["args"], "--bundle", str(later.path)])
        assert ended.returncode == 0, ended.stdout + ended.stderr
    assert topic_exists(settings, settings.bundle_updates_topic(later.bundle_id, is_first=False))


def test_setup_grows_the_topics_of_later_bundles_alone(settings: Settings) -> None:
    login = {"broker_user": "thalweg-setup", "broker_password": Secret(PASSWORD)}
    of_setup = msgspec.structs.replace(settings, **login)
    topic = settings.bundle_updates_topic("gru-123456789abc", is_first=False)
    ensure_topic(of_setup, topic, partitions=1)
    with broker_admin(of_setup) as admin:
        _grow(admin, topic, 2)
        with pytest.raises(RightsError, match=f"give the user Alter on topic {settings.evaluation_topic}"):
            _grow(admin, settings.evaluation_topic, 8)
    assert describe_topic(settings, topic).partitions == 2
