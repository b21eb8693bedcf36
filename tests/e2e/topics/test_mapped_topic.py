"""A worker reads a topic of Segment's calls by a mapping, is killed, and loses and repeats nothing."""

from pathlib import Path

import msgspec
import pytest

from export.runtime.bundle import Bundle
from streams.broker.decoding.record_decoder import open_decoder
from streams.contracts.dead_letters import REASON_HEADER, decode_headers
from streams.contracts.fields import record_of
from streams.local import LocalServices
from streams.serve.explanations.history import HistoryReader
from streams.store.session import Session
from tests.support.deployment import Deployment, run_thalweg
from tests.support.mapped.segment import calls, records

COUNT, USERS = 4_000, 150


@pytest.fixture
def deployment(services: LocalServices, bundle: Bundle, tmp_path: Path) -> Deployment:
    return Deployment(services, bundle, tmp_path, mapping="segment")


def test_a_topic_of_segment_runs_through_a_kill_and_every_command_reads_it_by_the_mapping(
    deployment: Deployment,
) -> None:
    log = calls(COUNT, USERS, 500)
    twice = [call for call in log if call.events][-40:]  # a producer sends these calls a second time
    events = sum(call.events or 0 for call in log)
    skipped = sum(call.events == 0 for call in log)
    rejected = sum(call.events is None for call in log)
    assert min(skipped, rejected) > 5
    assert events > COUNT

    deployment.kill_under_load("first", records(log), 2_000.0)
    worker = deployment.worker("last")
    worker.start()
    deployment.send(records(twice[-8:]))
    deployment.wait_until_committed()
    reading = worker.scrape()
    assert reading is not None
    assert reading.records("already_applied") + reading.records("applied") <= COUNT + 8

    ids = [event.id for event in deployment.evaluations()]
    assert len(set(ids)) == events
    letters = deployment.dead_letters()
    positions = {(h["thalweg-partition"], h["thalweg-offset"]) for h in (decode_headers(r.headers) for r in letters)}
    assert len(positions) == rejected
    reasons = {decode_headers(letter.headers)[REASON_HEADER] for letter in letters}
    assert any(reason.startswith("line ") and "item_id is missing" in reason for reason in reasons)
    assert {letter.value for letter in letters} == {call.value for call in log if call.events is None}
    lines = [one for one in set(ids) if record_of(one) != one]
    assert len(lines) == sum(max(0, (call.events or 0) - 1) for call in log)
    assert {record_of(line) for line in lines} <= set(ids)

    found = deployment.verify()
    assert (found.clean, found.mismatches, found.events) == (True, [], events)
    assert (found.skipped, found.dead_letters, found.already_applied) == (skipped, rejected, 8)
    _check_effects(deployment)
    _check_erasure(deployment, log[0].user)
    worker.stop()
    _check_repair(deployment)
    _check_commands(deployment)


def _check_effects(deployment: Deployment) -> None:
    """The events that explain a row are found by the mapping."""
    session = Session(deployment.settings)
    reader = HistoryReader(deployment.settings, session, open_decoder(deployment.settings))
    update = deployment.last_updates()["user-3"]
    assert update is not None
    history = reader.read("user-3", deployment.bundle.bundle_id, update.steps)
    session.close()
    assert len({event_id for record in history for event_id in record.event_ids()}) == update.steps


def _check_erasure(deployment: Deployment, user: str) -> None:
    erased = run_thalweg(deployment.settings, "erase", user)
    assert erased.returncode == 0, erased.stdout + erased.stderr
    assert deployment.last_updates()[user] is None
    assert deployment.verify().clean


def _check_repair(deployment: Deployment) -> None:
    deployment.damage("user-3", "last_item", "'another'")
    deployment.damage("user-4", "state", "0x00")
    assert not deployment.verify().clean
    repaired = deployment.verify(repair=True)
    assert (repaired.clean, repaired.repaired) == (True, 1)


def _check_commands(deployment: Deployment) -> None:
    settings = deployment.settings
    doctor = run_thalweg(settings, "doctor")
    assert f"is read by {open_decoder(settings).name}" in doctor.stdout, doctor.stdout + doctor.stderr
    by_contract = run_thalweg(deployment.settings_with(mapping=None), "verify")
    assert by_contract.returncode == 1
    assert "give this command the setting mapping (THALWEG_MAPPING)" in by_contract.stderr
    letters = msgspec.json.decode(run_thalweg(settings, "dlq", "--json").stdout.splitlines()[-1])
    before = _records(deployment)
    resent = msgspec.json.decode(run_thalweg(settings, "dlq", "--json", "--resend").stdout.splitlines()[-1])
    assert resent["resent"] == letters["dead_letters"] > 0
    assert _records(deployment) == before + resent["resent"]


def _records(deployment: Deployment) -> int:
    return len(deployment.records(deployment.settings.behavior_topic))
