"""An archive that begins with a log: backfill, workers and `verify` see the log and the topic as one history."""

import csv
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from kafka import KafkaProducer

from encoder.data.events import BehaviorEvent
from export.runtime.stepper import Stepper
from streams.archive.columns import ArchivedRecord
from streams.archive.opening import open_reader
from streams.broker.decoding.pseudonym_key import open_pseudonyms
from streams.commands.verify.growing_arena import GrowingArena
from streams.commands.verify.verification import verify
from streams.config.errors import InputError
from streams.engine.codec import ContractDecoder
from streams.engine.planning.candidates import Part
from streams.engine.processor import Processor
from streams.local import LocalServices
from tests.support.deployment import SHOP_ITEMS, Deployment, environment_of, run_thalweg
from tests.support.topics import read_all

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
UNTIL_MS = (int(time.time() * 1000) // MINUTE_MS) * MINUTE_MS - 4 * HOUR_MS
ERASED_BEFORE, ERASED_WITHIN = "user-1", "user-2"
FIELDS = ("event_id", "user_id", "item_id", "action", "event_time_ms")


class Sent(NamedTuple):
    """A record of the topic. event: None for an erasure."""

    recorded_ms: int
    user_id: str
    event: dict[str, Any] | None


def events_of_users(count: int, first_ms: int, last_ms: int, seed: int) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [
        dict(
            zip(
                FIELDS,
                (
                    f"{seed}-{number}",
                    f"user-{draw.randrange(12)}",
                    draw.choice(SHOP_ITEMS),
                    draw.choice(["view", "cart", "purchase"]),
                    draw.randrange(first_ms, last_ms),
                ),
                strict=True,
            )
        )
        for number in range(count)
    ]


def recorded(events: Sequence[dict[str, Any]]) -> list[Sent]:
    """The records of the last three hours before the boundary and after it. Clocks are wrong by up to 40 minutes.

    Some records come twice, and some stand a little before an older one.
    """
    draw = random.Random(5)
    found = [
        Sent(event["event_time_ms"] + draw.randrange(-40, 40) * MINUTE_MS, event["user_id"], event) for event in events
    ]
    found += [
        Sent(UNTIL_MS - 2 * HOUR_MS, ERASED_BEFORE, None),
        Sent(UNTIL_MS - HOUR_MS // 2, ERASED_WITHIN, None),
    ]
    found += [one for one in found if one.event is not None and draw.random() < 0.03]
    in_order = sorted(found, key=lambda one: one.recorded_ms + draw.randrange(5_000))
    return [one for one in in_order if one.recorded_ms >= UNTIL_MS - 3 * HOUR_MS]


def send(deployment: Deployment, records: Sequence[Sent]) -> None:
    producer = KafkaProducer(bootstrap_servers=deployment.settings.broker)
    for one in records:
        value = None if one.event is None else json.dumps(one.event).encode()
        producer.send(deployment.settings.behavior_topic, value, one.user_id.encode(), timestamp_ms=one.recorded_ms)
    producer.close()


def write_log(path: Path, events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write the events in any order, some of them twice, and return the rows."""
    draw = random.Random(6)
    rows = [*events, *draw.sample(list(events), 30)]
    draw.shuffle(rows)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
        file.write("broken,row\n")
    return rows


def expected_users(deployment: Deployment, rows: Sequence[dict[str, Any]]) -> tuple[GrowingArena, int]:
    """Step each event once: of the log what the copied part of the topic lacks, and then this part.

    Also returns how many events come from the log.
    """
    by_partition: dict[int, list[Any]] = {0: [], 1: []}
    for record in read_all(deployment.settings, deployment.settings.behavior_topic):
        by_partition[record.partition].append(record)
    copied: dict[int, list[Any]] = {}
    for partition, records in by_partition.items():
        first = next(at for at, one in enumerate(records) if one.timestamp >= UNTIL_MS - HOUR_MS)
        assert first > 0, "the topic has older records, which the archive does not copy"
        copied[partition] = records[first:]
    values = [json.loads(one.value) for records in copied.values() for one in records if one.value is not None]
    seen = {(value["user_id"], value["event_id"]) for value in values}
    by_user: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda one: one["event_time_ms"]):
        key, is_erased = (row["user_id"], row["event_id"]), row["user_id"] == ERASED_BEFORE
        is_gone = is_erased and row["event_time_ms"] <= UNTIL_MS - 2 * HOUR_MS
        if row["event_time_ms"] < UNTIL_MS and key not in seen and not is_gone:
            seen.add(key)
            by_user.setdefault(row["user_id"], []).append(row)
    of_log = [BehaviorEvent(**row) for own in by_user.values() for row in own]
    manifest = deployment.bundle.manifest
    arena = GrowingArena(manifest.state_width, manifest.representation_width)
    arena.make_room(50)
    processor = Processor(deployment.bundle, Stepper(deployment.bundle), arena)
    home = {one.key.decode(): one.partition for records in by_partition.values() for one in records}
    for partition, records in copied.items():
        own = [event for event in of_log if home[event.user_id] == partition]
        positions = [ArchivedRecord(at - len(own), 0) for at in range(len(own))]
        outcomes = [*own, *ContractDecoder().decode_batch(records)]
        processor.process([Part(partition, [*positions, *records], outcomes)], 1 + partition, evaluate=False)
    return arena, len(of_log)


def check_rows(deployment: Deployment, arena: GrowingArena) -> None:
    pseudonyms, stored = open_pseudonyms(deployment.settings), deployment.stored_users()
    assert pseudonyms is not None
    assert {pseudonyms.of(user_id) for user_id, _ in arena.users()} == stored.keys()
    for user_id, slot in arena.users():
        row = stored[pseudonyms.of(user_id)]
        assert (row.steps, row.last_time_ms, row.last_item) == (
            arena.steps[slot],
            arena.last_time_ms[slot],
            arena.last_item[slot],
        ), user_id
        np.testing.assert_allclose(row.state, arena.state[slot], atol=1e-5)


def killed(deployment: Deployment, module: str, code: int, arguments: Sequence[str], **variables: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", f"tests.faults.programs.{module}", *arguments],
        env=environment_of(deployment.settings) | variables,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout


def test_a_log_and_a_topic_become_one_history(services: LocalServices, tmp_path: Path, bundle: Any) -> None:
    key = tmp_path / "pseudonym.key"
    key.write_bytes(bytes(range(48)))
    key.chmod(0o600)
    deployment = Deployment(services, bundle, tmp_path, partitions=2, pseudonym_key=str(key))
    events = events_of_users(900, UNTIL_MS - 6 * HOUR_MS, UNTIL_MS + 2 * HOUR_MS, seed=1)
    send(deployment, recorded(events))
    log = tmp_path / "export.csv"
    rows = write_log(log, [one for one in events if one["event_time_ms"] < UNTIL_MS + HOUR_MS])
    arena, of_log = expected_users(deployment, rows)
    folder = tmp_path / "archive"
    command = ["--to", str(folder), "--log", str(log), "--until", str(UNTIL_MS)]

    faults = "events:during=2 segments:before=3 segments:after=2"
    killed(deployment, "archive_main", 0, command, FAULTS=faults, SEGMENT_ROWS="100")
    assert not (folder / "archive.json").exists()
    refused = run_thalweg(deployment.settings, "archive", "--to", str(folder))
    assert "where `thalweg archive --log` was stopped, run that command again" in refused.stderr
    ended = run_thalweg(deployment.settings, "archive", *command, "--json")
    assert ended.returncode == 0, ended.stderr
    counts = json.loads(ended.stdout.splitlines()[-1])["log"]
    assert counts["events"] == of_log
    assert min(counts[name] for name in ("later", "erased", "duplicates", "in_topic")) > 0
    assert sum(counts["partitions"].values()) == of_log
    assert "exists already" in run_thalweg(deployment.settings, "archive", *command).stderr
    assert "user-" not in "".join(json.dumps(row) for row in all_rows(folder)), "the archive holds pseudonyms"

    fault = {"FAULT_POINT": "update:before", "FAULT_CALL": "1", "FAULT_DELAY_MS": "2", "BLOCK_ROWS": "100"}
    killed(deployment, "backfill_main", -signal.SIGKILL, ["--from", str(folder)], **fault)
    killed(deployment, "backfill_main", 0, ["--from", str(folder)])
    check_rows(deployment, arena)

    send(deployment, [Sent(int(time.time() * 1000), one["user_id"], one) for one in events_of_later(deployment)])
    worker = deployment.worker()
    worker.start()
    deployment.wait_until_committed()
    worker.stop()
    check_rows(deployment, expected_users(deployment, rows)[0])
    assert run_thalweg(deployment.settings, "archive", "--to", str(folder)).returncode == 0
    found = verify(deployment.settings, deployment.bundle, archive=open_reader(str(folder)))
    assert (found.mismatches, found.unverifiable, found.not_committed) == ([], 0, 0)
    assert found.is_topic_complete
    with pytest.raises(InputError, match="name the archive of the bundle's backfill with --archive"):
        deployment.verify()


def events_of_later(deployment: Deployment) -> list[dict[str, Any]]:
    now_ms = int(time.time() * 1000)
    return events_of_users(150, now_ms - MINUTE_MS, now_ms, seed=2)


def all_rows(folder: Path) -> list[dict[str, Any]]:
    reader = open_reader(str(folder))
    return [
        row
        for partition in reader.partitions
        for batch in reader.read(partition)
        for row in batch.select(["event_id", "user_id", "reason"]).to_pylist()
    ]


def test_a_topic_that_has_lost_records_behind_the_boundary_is_refused(deployment: Deployment, tmp_path: Path) -> None:
    events = events_of_users(200, UNTIL_MS - 2 * HOUR_MS, UNTIL_MS + 2 * HOUR_MS, seed=1)
    send(deployment, recorded(events))
    write_log(tmp_path / "export.csv", events)
    command = ["--to", str(tmp_path / "archive"), "--log", str(tmp_path / "export.csv"), "--until", str(UNTIL_MS)]
    write_log(tmp_path / "others.csv", [one | {"event_id": f"other-{one['event_id']}"} for one in events])
    others = [*command[:3], str(tmp_path / "others.csv"), *command[4:]]
    assert "none is the same by user_id and event_id" in run_thalweg(deployment.settings, "archive", *others).stderr
    too_early = [*command[:5], "2001-09-10T00:00:00Z"]
    assert "is before --until: check the time" in run_thalweg(deployment.settings, "archive", *too_early).stderr
    deployment.cut_topic()
    refused = run_thalweg(deployment.settings, "archive", *command)
    assert "retention may have deleted events after --until" in refused.stderr
    accepted = run_thalweg(deployment.settings, "archive", *command, "--accept-gaps")
    assert accepted.returncode == 0, accepted.stderr
    assert "archive: begins with" in accepted.stdout
