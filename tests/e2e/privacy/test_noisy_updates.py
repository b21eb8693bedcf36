"""With noise, readers of the updates topic get what the key determines, while rows stay exact."""

import copy
import os
from pathlib import Path

from export.runtime.bundle import Bundle
from streams.broker.topics import ensure_topics
from streams.config.setting_checks import UPDATES_NOISE
from streams.local import LocalServices
from streams.store.store import open_store
from tests.support.deployment import Deployment, run_thalweg, shopping
from tests.support.stream.noisy_updates import Noise

EPSILON, DELTA, CLIP_NORM = 16.0, 1e-6, 0.5


def check(deployment: Deployment, key: bytes) -> None:
    """Check that rows are exact, and that each last update is the noisy vector of the user's row."""
    assert deployment.verify().clean
    bundle, noise, topic = deployment.bundle, Noise(EPSILON, DELTA, CLIP_NORM, key), deployment.settings.behavior_topic
    store, updates = open_store(deployment.settings, bundle), deployment.last_updates()
    try:
        rows = {row.user_id: row for row in store.users.scan()}
    finally:
        store.close()
    assert updates.keys() == rows.keys()
    origin, width = bundle.initial_representation, bundle.scoring_width
    for user, row in rows.items():
        update, source = updates[user], f"{topic}-0-{row.partition}-{row.offset}"
        assert update is not None
        assert update.representation == noise.published(
            bundle.bundle_id, user, source, row.representation, origin, width
        )
        assert (update.source, update.steps, update.event_time_ms) == (source, 0, 0)
        assert (update.recent_items, update.recent_scores, update.bought_items) == (None, None, None)
        assert row.steps > 0


def test_a_killed_worker_and_a_backfill_publish_the_noise_of_the_key(
    services: LocalServices, bundle: Bundle, tmp_path: Path
) -> None:
    key = tmp_path / "noise.key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    deployment = Deployment(
        services,
        bundle,
        tmp_path,
        session_timeout_s=6,  # the second worker waits so long for the partitions of the killed one
        updates_noise_epsilon=EPSILON,
        updates_noise_delta=DELTA,
        updates_noise_clip_norm=CLIP_NORM,
        updates_noise_key=str(key),
    )
    deployment.kill_under_load("first", shopping(1_500, 40), 400.0, 200)
    worker = deployment.worker("last")
    worker.start()
    deployment.wait_until_committed()
    worker.stop()
    check(deployment, key.read_bytes())
    published: dict[tuple[bytes, bytes], set[bytes]] = {}
    for record in deployment.records(deployment.settings.updates_topic):
        source = record.value.split(b'"source":')[1]
        published.setdefault((record.key, source), set()).add(record.value)
    assert all(len(values) == 1 for values in published.values()), "a replay has published other bytes"
    exact = run_thalweg(deployment.settings_with(**dict.fromkeys(UPDATES_NOISE)), "worker")
    assert exact.returncode == 1
    assert "holds vectors with the noise of the fingerprint" in exact.stderr
    archived = run_thalweg(deployment.settings, "archive", "--to", str(tmp_path / "archive"))
    assert archived.returncode == 0, archived.stderr
    second, name = copy.copy(deployment), f"{deployment.settings.keyspace}b"
    second.settings = deployment.settings_with(keyspace=name, group=name, updates_topic=f"{name}.updates")
    ensure_topics(second.settings)
    filled = run_thalweg(second.settings, "backfill", "--from", str(tmp_path / "archive"))
    assert filled.returncode == 0, filled.stderr
    check(second, key.read_bytes())
