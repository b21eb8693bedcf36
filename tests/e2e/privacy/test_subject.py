"""`thalweg subject` finds everything that tables and topics hold of a user, and says what it could not read."""

import json
import os
from pathlib import Path
from typing import Any

from kafka import KafkaProducer, TopicPartition

from export.runtime.bundle import Bundle
from streams.broker.topics import broker_admin, describe_topic
from streams.contracts.privacy.pseudonyms import Pseudonyms
from streams.local import LocalServices
from tests.support.deployment import Deployment, event, record, run_thalweg

USER = "subject-7f3a9"


def subject(deployment: Deployment, *arguments: str, code: int = 0, **variables: str) -> dict[str, Any]:
    """Return the document of the command."""
    ended = run_thalweg(deployment.settings, "subject", USER, "--json", *arguments, **variables)
    assert ended.returncode == code, ended.stdout + ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_the_export_has_every_place_and_names_what_it_left_out(deployment: Deployment, tmp_path: Path) -> None:
    settings = deployment.settings
    events = [record(event(f"e{n}", USER, f"item-{n + 1}", time_ms=10**12 + n)) for n in range(3)]
    others = [record(event(f"o{n}", f"other-{n}", "item-1")) for n in range(40)]
    with_worker = deployment.worker()
    with_worker.start()
    deployment.send([*events[:2], *others, (USER.encode(), b"no JSON"), (b"x", events[0][1])])
    deployment.wait_until_committed()
    deployment.send([events[2]])
    deployment.wait_until_committed()
    with_worker.stop()
    home = deployment.evaluations() and next(
        r.partition for r in deployment.records(settings.behavior_topic) if r.key == USER.encode()
    )
    producer = KafkaProducer(bootstrap_servers=settings.broker)
    stray = (home + 1) % 4  # No worker has read this record, so no dead letter tells of the user.
    producer.send(settings.behavior_topic, key=events[0][0], value=events[0][1], partition=stray).get()
    producer.close()

    found = subject(deployment, "--bundle", str(deployment.bundle.path))
    (row,) = found["rows"]
    assert row["bundle_id"] == deployment.bundle.bundle_id
    assert (row["steps"], row["last_item"], row["last_time_ms"]) == (3, "item-3", 10**12 + 2)
    assert len(row["representation"]) == deployment.bundle.manifest.representation_width
    assert "base64" in row["state"]
    if deployment.bundle.manifest.recent_places:
        assert [item for item in row["recent_items"] if item] == ["item-3", "item-2", "item-1"]
    assert [one["kind"] for one in found["events"]] == ["event", "event", "rejected", "event"]
    assert [one["decoded"][0]["item_id"] for one in found["events"] if one["kind"] == "event"] == [
        "item-1",
        "item-2",
        "item-3",
    ]
    assert [json.loads(one["value"])["item_id"] for one in found["evaluations"]] == ["item-1", "item-2", "item-3"]
    assert [one["decoded"]["steps"] for one in found["updates"]][-1] == 3
    assert sorted((one["key"], one["certain"]) for one in found["dead_letters"]) == [(USER, True), ("x", False)]
    unlikely = [one["place"] for one in found["not_looked_at"] if one["kind"] == "unlikely"]
    assert unlikely
    assert all(str(stray) in place.partition("partitions ")[2] for place in unlikely)
    assert {place.split()[1] for place in unlikely} == {
        settings.behavior_topic,
        settings.evaluation_topic,
        settings.updates_topic,
    }
    everywhere = subject(deployment, "--all-partitions")
    assert [one["partition"] for one in everywhere["events"]].count(stray) == 1
    assert everywhere["not_looked_at"] == []

    with broker_admin(settings) as admin:  # retention passes
        ends = describe_topic(settings, settings.evaluation_topic).end_offsets
        admin.delete_records(
            {tp: ends[tp.partition] for tp in _partitions(settings.evaluation_topic, ends) if tp.partition == home}
        )
    out = tmp_path / "subject.json"
    ended = run_thalweg(settings, "subject", USER, "--out", str(out), THALWEG_CASSANDRA="127.0.0.1:1")
    assert ended.returncode == 1
    assert "NOT COMPLETE" in ended.stdout
    left = json.loads(out.read_text())
    assert (left["rows"], left["evaluations"]) == ([], [])
    assert len(left["events"]) == 5, "without Cassandra, every partition is read"
    kinds = {one["kind"]: one["place"] for one in left["not_looked_at"]}
    assert kinds["failed"] == f"keyspace {settings.keyspace}"
    assert kinds["deleted"] == f"topic {settings.evaluation_topic} partition {home} offsets 0 to {ends[home]}"


def test_with_a_key_the_plain_id_finds_what_is_stored_under_the_pseudonym(
    services: LocalServices, bundle: Bundle, tmp_path: Path
) -> None:
    key, archive, receipt_file = tmp_path / "pseudonym.key", tmp_path / "archive", tmp_path / "receipt.json"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    pseudonym = Pseudonyms(key.read_bytes()).of(USER)
    deployment = Deployment(services, bundle, tmp_path, pseudonym_key=str(key))
    worker = deployment.worker()
    worker.start()
    deployment.send([record(event("e1", USER, "item-1")), record(event("e2", "other", "item-1"))])
    deployment.send([(USER.encode(), b"no JSON")])
    deployment.wait_until_committed()
    assert run_thalweg(deployment.settings, "archive", "--to", str(archive)).returncode == 0
    found = subject(deployment, "--archive", str(archive))
    assert (found["user_id"], found["stored_id"]) == (USER, pseudonym)
    assert [row["user_id"] for row in found["rows"]] == [pseudonym]
    assert [(one["key"], one["kind"]) for one in found["events"]] == [(USER, "event"), (USER, "rejected")]
    assert [one["key"] for one in found["evaluations"]] == [pseudonym]
    assert [one["decoded"]["user_id"] for one in found["updates"]] == [pseudonym]
    assert [(one["key"], one["value"]) for one in found["dead_letters"]] == [(USER, "no JSON")]
    assert [row["user_id"] for row in found["archive"]] == [pseudonym]

    options = ("--receipt", str(receipt_file), "--archive", str(archive), "--timeout", "30")
    ended = run_thalweg(deployment.settings, "erase", USER, *options)
    worker.stop()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    receipt = json.loads(receipt_file.read_text())
    assert sum(one["rows"] or 0 for one in receipt["deleted"]) == 2
    left = subject(deployment, "--archive", str(archive))
    assert (left["rows"], left["archive"]) == ([], [])
    assert [one["kind"] for one in left["updates"]][-1] == "tombstone"


def _partitions(topic: str, ends: dict[int, int]) -> list[Any]:
    return [TopicPartition(topic, partition) for partition in ends]
