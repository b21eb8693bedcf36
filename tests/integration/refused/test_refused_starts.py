"""A worker that cannot start or go on ends with exit code 1 and says why, and leaves nothing behind."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaConsumer
from kafka.admin import ConfigResource, ConfigResourceType

from export.runtime.bundle import Bundle
from streams.broker.topics import broker_admin
from streams.config.errors import SettingsError
from streams.config.settings import Settings
from streams.demo.worker_process import WorkerProcess
from streams.local import LocalServices
from streams.store.store import open_store
from streams.worker import wiring
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment, environment_of, run_thalweg, shopping

SCHEDULER = "Task Scheduler"  # the thread of the driver that starts tasks later


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"), items=20)


@pytest.fixture
def deployment(services: LocalServices, bundle: Bundle, tmp_path: Path) -> Deployment:
    return Deployment(services, bundle, tmp_path)


def change_topic(settings: Settings, topic: str, **values: str) -> None:
    """Change settings of a topic. An underscore in a name stands for a dot."""
    changed = {name.replace("_", "."): value for name, value in values.items()}
    with broker_admin(settings) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, changed)])


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def test_a_taken_port_is_named(deployment: Deployment) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_thalweg(deployment.settings_with(http_port=port), "worker")
    assert ended.returncode == 1
    assert last_line(ended.stderr).startswith(f"thalweg worker: http_port = {port} on http_host = '127.0.0.1': ")
    assert "set THALWEG_HTTP_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("host", ["203.0.113.5", "metrics.invalid"])  # reserved for documentation, and for no host
def test_a_host_that_is_not_local_is_named(deployment: Deployment, host: str) -> None:
    ended = run_thalweg(deployment.settings_with(http_host=host), "worker")
    assert ended.returncode == 1
    assert f"on http_host = '{host}'" in last_line(ended.stderr)
    assert "set THALWEG_HTTP_HOST" in ended.stderr


def test_a_topic_that_takes_only_small_batches_is_named(deployment: Deployment) -> None:
    settings = deployment.settings
    change_topic(settings, settings.evaluation_topic, max_message_bytes="2000")
    deployment.send(shopping(2_000, 50))
    doctor = run_thalweg(settings, "doctor")
    assert doctor.returncode == 1
    assert f"{settings.evaluation_topic} has max.message.bytes 2000" in doctor.stdout
    ended = run_thalweg(settings, "worker")
    assert ended.returncode == 1
    assert f"outputs to {settings.evaluation_topic} were not confirmed: [Error 10]" in last_line(ended.stderr)
    assert "set max.message.bytes of the topic" in last_line(ended.stderr)


def test_a_refused_start_leaves_no_thread_of_the_driver(deployment: Deployment) -> None:
    """Where a thread is left, the thread may print a traceback behind the reason, at the end of the interpreter."""
    settings = deployment.settings
    change_topic(settings, settings.behavior_topic, cleanup_policy="compact")
    before = set(threading.enumerate())
    with pytest.raises(SettingsError, match=r"cleanup.policy 'compact'"):
        wiring.build(settings, deployment.bundle, lambda *_: None, None)
    with pytest.raises(SettingsError, match=r"keyspace 'no-name' must be"):
        open_store(deployment.settings_with(keyspace="no-name"), deployment.bundle)
    left = {thread.name for thread in threading.enumerate() if thread not in before}
    assert SCHEDULER not in left


def test_a_topic_whose_compaction_would_delete_events_is_refused(deployment: Deployment) -> None:
    settings = deployment.settings
    change_topic(settings, settings.behavior_topic, cleanup_policy="compact")
    change_topic(settings, settings.updates_topic, cleanup_policy="compact,delete")
    doctor = run_thalweg(settings, "doctor")
    assert doctor.returncode == 1
    for topic in (settings.behavior_topic, settings.updates_topic):
        assert f"{topic} has cleanup.policy" in doctor.stdout
    ended = run_thalweg(settings, "worker")
    assert ended.returncode == 1
    assert f"topic {settings.behavior_topic} has cleanup.policy 'compact'" in last_line(ended.stderr)


def test_a_topic_of_broken_records_is_not_healthy(deployment: Deployment) -> None:
    assert run_thalweg(deployment.settings, "doctor").returncode == 0
    deployment.send([(b"u-1", b"<event/>")] * 30)
    doctor = run_thalweg(deployment.settings, "doctor")
    assert doctor.returncode == 1
    assert "30 of the last 30 records of" in doctor.stdout
    assert "value is not JSON" in doctor.stdout


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd", "none"])
def test_outputs_have_the_codec_of_the_setting(deployment: Deployment, codec: str) -> None:
    settings = deployment.settings_with(compression=codec)
    worker = WorkerProcess(settings, deployment.folder / "worker.log")
    worker.start()
    deployment.send(shopping(200, 20))
    deployment.wait_until_committed()
    worker.stop()
    assert len({evaluation.id for evaluation in deployment.evaluations()}) == 200
    if codec in ("gzip", "none"):  # these two are read by kafka-python without a further package
        consumer = KafkaConsumer(
            settings.evaluation_topic,
            bootstrap_servers=settings.broker,
            auto_offset_reset="earliest",
            consumer_timeout_ms=5_000,
        )
        assert len({msgspec.json.decode(record.value)["id"] for record in consumer}) == 200
        consumer.close()


def test_a_worker_leaves_nothing_in_the_temporary_folder(deployment: Deployment, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {"TMPDIR": str(temporary)}
    worker = WorkerProcess(deployment.settings, deployment.folder / "worker.log", environment=environment)
    worker.start()
    deployment.send(shopping(50, 5))
    deployment.wait_until_committed()
    worker.stop()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_ended_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    """The demo is ended while its services run and its worker starts."""
    environment = {name: value for name, value in environment_of(Settings()).items() if "THALWEG" not in name}
    environment |= {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    environment |= {name: os.environ[name] for name in ("THALWEG_CACHE",) if name in os.environ}
    with subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "demo"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as demo:
        assert demo.stdout is not None
        assert any("Starting a worker" in line for line in demo.stdout)
        time.sleep(1.0)  # any moment of the start of the worker will do
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 128 + number
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
