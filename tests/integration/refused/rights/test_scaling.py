"""Workers with the rights of docker/kubernetes scale, and a second bundle takes over, while events come.

The containers run as processes, as in `test_manifests.py`.
"""

import asyncio
import itertools
import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from export.runtime.bundle import Bundle
from streams.broker.topic_reader import read_topic
from streams.broker.topics import broker_admin, describe_topic
from streams.commands.replay.producer import Replay
from streams.commands.verify.verification import verify
from streams.config.settings import Secret, Settings
from streams.contracts.evaluation_events import EvaluationEvent
from streams.store.cql_schema import representations_table
from tests.support.bundles import tiny_bundle
from tests.support.deployment import run_thalweg, shopping
from tests.tools.docker import manifests
from tests.tools.docker.cluster import of_workload, pods_of, run_all, start, stop
from tests.tools.docker.pods import Pods, RunningContainer, missing_program
from tests.tools.rights.users import PASSWORD, cql, wait_until

DEMO_BUNDLE = Path(__file__).parents[4] / "streams" / "demo" / "bundle"
NO_BUNDLE = "gru-000000000000"  # stands in challenger/bundle.yaml
# As a small cluster would try a challenger. Pods that are gone cost a session, which is short here.
SMALL_TRIAL = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: thalweg
resources: [../small, ../../challenger, ../trial/setup, ../trial/workers]
components: [../../components/challenger]
configMapGenerator:
  - name: thalweg-settings
    behavior: merge
    literals: [THALWEG_SESSION_TIMEOUT_S=6]
"""
WORKERS, CHALLENGERS = "thalweg-worker", "thalweg-worker-challenger"
WITHIN_S = 60.0
RATE, USERS = 300.0, 200

if manifests.MAY_SKIP:
    pytest.skip(manifests.REASON, allow_module_level=True)
if (reason := missing_program()) is not None and os.environ.get("CI") != "true":
    pytest.skip(reason, allow_module_level=True)

Resources = list[dict[str, Any]]


def rendered(folder: Path, active: str, challenger: str) -> Resources:
    """Return the small overlay with a challenger, after an operator has named both bundles."""
    shutil.copytree(manifests.KUBERNETES, folder)
    named = {"overlays/small/bundle.yaml": active, "challenger/bundle.yaml": challenger}
    for name, bundle_id in named.items():
        old = NO_BUNDLE if name.startswith("challenger") else Bundle.load(DEMO_BUNDLE).bundle_id
        text = (folder / name).read_text()
        assert text.count(old) == 1
        (folder / name).write_text(text.replace(old, bundle_id))
    trial = folder / "overlays" / "small-trial"
    trial.mkdir()
    (trial / "kustomization.yaml").write_text(SMALL_TRIAL)
    return manifests.render_folder(trial)


class Group:
    """The pods of one StatefulSet, which run the workers of one bundle."""

    def __init__(self, settings: Settings, pods: Pods, resources: Resources, name: str, bundle: Bundle) -> None:
        self._settings = settings
        self._pods = pods
        self._containers = of_workload(resources, "StatefulSet", name)
        self._name = name
        self.bundle = bundle
        self.group_id = settings.consumer_group_id(bundle.bundle_id)
        self.running: list[RunningContainer] = []

    def scale(self, count: int) -> None:
        """Start and stop pods as the controller of a StatefulSet does, with the policy Parallel."""
        while_running, added = self.running[:count], range(len(self.running), count)
        with ThreadPoolExecutor() as threads:
            list(threads.map(stop, self.running[count:]))
            new = threads.map(lambda ordinal: start(self._pods, self._containers, ordinal), added)
            self.running = [*while_running, *new]

    def names(self) -> list[str]:
        """Return the names of the group's members, as the broker knows them."""
        with broker_admin(self._settings) as admin:
            members = admin.describe_groups([self.group_id])[self.group_id]["members"]
        return sorted(member["group_instance_id"] for member in members)

    def expected_names(self) -> list[str]:
        return [f"{self._name}-{ordinal}" for ordinal in range(len(self.running))]

    def partitions(self) -> list[int]:
        """Return the partitions that the pods hold, with repetitions."""
        return sorted(p for one in self.running for p in one.scrape().lag_by_partition())

    def wait_until_shared(self, partitions: int) -> None:
        """Wait until every pod is ready and the pods hold each partition once."""
        wait_until(lambda: all(one.succeeds("readinessProbe") for one in self.running), WITHIN_S)
        wait_until(lambda: self.partitions() == list(range(partitions)), WITHIN_S)

    def catch_up(self) -> None:
        """Wait until the group has committed what the topic holds now."""
        ends = describe_topic(self._settings, self._settings.behavior_topic).stable_offsets

        def has_committed() -> bool:
            topic = describe_topic(self._settings, self._settings.behavior_topic, self.group_id)
            return all(topic.passed.get(p, 0) >= end for p, end in ends.items())

        wait_until(has_committed, WITHIN_S)


@pytest.fixture
def load(cluster: Settings) -> Iterator[Replay]:
    """Send events until the test ends or stops the load."""
    events = (one for seed in itertools.count(1_000) for one in shopping(500, USERS, seed))
    replay = Replay(cluster, cluster.behavior_topic, RATE)
    sending = threading.Thread(target=replay.run, args=(events,))
    sending.start()
    yield replay
    replay.stop()
    sending.join()


def test_workers_scale_and_a_second_bundle_takes_over_under_load(
    cluster: Settings, load: Replay, tmp_path: Path
) -> None:
    """With exactly the rights of the KafkaUsers, and of the roles after the Jobs of the schema."""
    old, new = Bundle.load(DEMO_BUNDLE), tiny_bundle(tmp_path / "new", items=400, seed=1)
    resources = rendered(tmp_path / "trial", old.bundle_id, new.bundle_id)
    pods = pods_of(cluster, resources, tmp_path / "old-pods", DEMO_BUNDLE)
    new_pods = pods_of(cluster, resources, tmp_path / "new-pods", new.path)
    workers = Group(cluster, pods, resources, WORKERS, old)
    challengers = Group(cluster, new_pods, resources, CHALLENGERS, new)
    later = rendered(tmp_path / "later", new.bundle_id, new.bundle_id)
    successors = Group(cluster, pods_of(cluster, later, tmp_path / "later-pods", new.path), later, WORKERS, new)
    partitions = describe_topic(cluster, cluster.behavior_topic).partitions
    assert partitions == 4
    try:
        run_all(pods, of_workload(resources, "Job", "thalweg-setup"))
        for count in (1, 4, 1):
            workers.scale(count)
            workers.wait_until_shared(partitions)
            assert workers.names() == workers.expected_names()
            workers.catch_up()
        run_all(new_pods, of_workload(resources, "Job", f"thalweg-setup-{new.bundle_id}-challenger"))
        challengers.scale(2)
        challengers.wait_until_shared(partitions)
        assert challengers.names() == challengers.expected_names()
        challengers.catch_up()
        sent = load.sent
        promote(cluster, new.bundle_id, old.bundle_id)
        workers.scale(0)
        successors.scale(1)
        challengers.scale(0)
        successors.wait_until_shared(partitions)
        assert successors.names() == successors.expected_names()
        assert load.sent > sent > 0
        load.stop()
        successors.catch_up()
    finally:
        for group in (workers, challengers, successors):
            group.scale(0)
    assert_applied_once(cluster, old, new)
    lose_and_repair(cluster, resources, tmp_path / "repair", old)


def lose_and_repair(cluster: Settings, resources: Resources, folder: Path, bundle: Bundle) -> None:
    """Run the Job of the overlay `repair`, without the archive. Its user of Kafka has the rights of `verify` alone."""
    cql(cluster, f"TRUNCATE {cluster.keyspace}.{representations_table(bundle.manifest.representation_width)}")
    repairing = [*manifests.render("repair"), *manifests.of_kind(resources, "KafkaUser")]
    pods = pods_of(cluster, repairing, folder, Path(str(bundle.path)))
    copying, program = of_workload(repairing, "Job", "thalweg-repair")
    run_all(pods, [copying])
    printed: list[str] = []

    def has_repaired() -> bool:
        ended = pods.run(program, ["verify", "--repair"])
        printed.append(ended.stdout + ended.stderr)
        return ended.returncode == 0

    wait_until(has_repaired, WITHIN_S)  # The group keeps static members for a session.
    assert "rows were written, and all users were verified again" in printed[-1]
    assert "running: stop all of them before a repair" in "".join(printed[:-1]) or len(printed) == 1
    assert "lacks" not in "".join(printed)


def promote(cluster: Settings, new: str, old: str) -> None:
    """Promote a bundle as the user and the role of the manifests for this. Evidence of a monitor alone lacks."""
    login = {"broker_user": "thalweg-promote", "cassandra_user": "thalweg_promote"}
    passwords = dict.fromkeys(("broker_password", "cassandra_password"), Secret(PASSWORD))
    promoter = msgspec.structs.replace(cluster, **login, **passwords)
    switched = run_thalweg(promoter, "promote", new, "--force", "--json")
    assert switched.returncode == 0, switched.stdout + switched.stderr
    (ignored,) = json.loads(switched.stdout.splitlines()[-1])["lacking"]
    assert ignored.startswith(f"no comparison of {old} with {new} is published")
    listed = json.loads(run_thalweg(promoter, "bundles", "--json").stdout.splitlines()[-1])
    assert {one["bundle_id"]: one["state"] for one in listed["bundles"]} == {old: "shadow", new: "serving"}


def assert_applied_once(cluster: Settings, old: Bundle, new: Bundle) -> None:
    """Each record that a group has committed is in the rows once, and was scored once."""
    scored = Counter((one.bundle_id, one.id) for one in evaluations(cluster))
    records = describe_topic(cluster, cluster.behavior_topic).records
    assert set(scored.values()) == {1}
    for bundle in (old, new):
        found = verify(msgspec.structs.replace(cluster, bundle=str(bundle.path)), bundle)
        assert found.clean, found.mismatches
        applied = found.events + found.already_applied + found.dead_letters + found.erasures
        assert applied + found.not_committed == records
        assert sum(bundle_id == bundle.bundle_id for bundle_id, _ in scored) == found.events
    assert found.not_committed == 0


def evaluations(cluster: Settings) -> Sequence[EvaluationEvent]:
    async def read() -> list[EvaluationEvent]:
        topic = read_topic(cluster, cluster.evaluation_topic)
        return [msgspec.json.decode(one.value, type=EvaluationEvent) async for batch in topic for one in batch]

    return asyncio.run(read())
