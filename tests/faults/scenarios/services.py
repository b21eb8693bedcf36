"""Faults of Kafka and Cassandra: the service is stopped, killed or frozen, or refuses requests."""

import contextlib
import time
from collections.abc import Iterator

from kafka.admin import AlterConfigOp, ConfigResource, ConfigResourceType

from streams.broker.topics import broker_admin
from streams.local import LocalServices
from streams.local.process.service_process import ServiceProcess
from tests.faults.registry import scenario
from tests.faults.trial import Trial

REFUSING_BYTES = 200  # less than one evaluation event


@scenario(alone=True, long={"faults": 10, "gap_s": (3.0, 9.0)})
def kafka_restarts(trial: Trial) -> None:
    """The broker is stopped or killed in turn, and starts again at once."""
    trial.under_load(workers=2)
    kafka = trial.services.kafka
    for number in range(trial.size.faults):
        trial.wait_for_next_fault()
        with trial.fault("Kafka restarts"):
            end = kafka.kill if number % 2 else kafka.stop
            end()
            kafka.start()
        trial.wait_for_recovery()


@scenario(alone=True, small={"faults": 1}, long={"faults": 2})
def kafka_down_60s(trial: Trial) -> None:
    """The broker is down for 60 s (15 s at small scale)."""
    trial.under_load(workers=2)
    _away(trial, trial.services.kafka)


@scenario(alone=True, small={"faults": 1}, long={"faults": 2})
def cassandra_down_60s(trial: Trial) -> None:
    """Cassandra is down for 60 s (15 s at small scale)."""
    trial.under_load(workers=2)
    _away(trial, trial.services.cassandra)


def _away(trial: Trial, service: ServiceProcess) -> None:
    for _ in range(trial.size.faults):
        trial.wait_for_next_fault()
        with trial.fault(f"{service.name} is down"):
            until = time.monotonic() + trial.size.outage_s
            service.stop()
            time.sleep(max(0.0, until - time.monotonic()))
            service.start()
        trial.wait_for_recovery()


@scenario(alone=True, long={"faults": 12})
def cassandra_slow(trial: Trial) -> None:
    """Cassandra is frozen for shorter and longer times than the timeout of a request (10 s)."""
    trial.under_load(workers=2)
    for number in range(trial.size.faults):
        trial.wait_for_next_fault()
        _freeze(trial, trial.services.cassandra, trial.draw.uniform(3, 5) if number % 2 else trial.draw.uniform(10, 12))
    trial.wait_for_recovery()


@scenario(alone=True, small={"faults": 1}, long={"faults": 8, "rate": 1500.0, "events": 40_000})
def cassandra_killed(trial: Trial) -> None:
    """Cassandra is killed (SIGKILL) before it flushes its tables. It must find acknowledged rows in its commit log.

    By default Cassandra acknowledges a write before it syncs the commit log to disk, so that a single node loses the
    last rows when it is killed. Here Cassandra syncs first, in place of replicas that would keep the rows.
    `thalweg doctor` warns of a cluster that has neither.
    """
    with _synced_commit_log(trial.services):
        trial.under_load(workers=2)
        for _ in range(trial.size.faults):
            trial.wait_for_next_fault()
            with trial.fault("SIGKILL of Cassandra"):
                trial.services.cassandra.kill()
                trial.services.cassandra.start()
            trial.wait_for_recovery()
        trial.drain()


@contextlib.contextmanager
def _synced_commit_log(services: LocalServices) -> Iterator[None]:
    """Run Cassandra so that it acknowledges a write when the write is on disk, and restore its settings at the end."""
    yaml = services.data_dir / "cassandra" / "cassandra.yaml"
    before = yaml.read_text()
    after = before
    for line, other in (
        ("commitlog_sync: periodic", "commitlog_sync: group"),
        ("commitlog_sync_period: 1000ms", "commitlog_sync_group_window: 2ms"),
        ("concurrent_writes: 8", "concurrent_writes: 256"),  # more writes at a time, since each waits for the disk
    ):
        assert line in after, line
        after = after.replace(line, other)
    for text in (after, before):
        services.cassandra.stop()
        yaml.write_text(text)
        services.cassandra.start()
        if text is after:
            yield


@scenario(alone=True, small={"rate": 1500.0}, long={"faults": 10, "rate": 10_000.0}, session_timeout_s=20)
def full_producer_buffer(trial: Trial) -> None:
    """Kafka is frozen under load, so that outputs fill the buffers of the workers and events those of the sender."""
    trial.under_load(workers=2)
    for _ in range(trial.size.faults):
        trial.wait_for_next_fault()
        _freeze(trial, trial.services.kafka, trial.draw.uniform(3, 6))
    trial.wait_for_recovery()


def _freeze(trial: Trial, service: ServiceProcess, length_s: float) -> None:
    with trial.fault(f"SIGSTOP of {service.name} for {length_s:.1f} s"):
        service.pause()
        time.sleep(length_s)
        service.resume()


@scenario(small={"faults": 1}, long={"faults": 8})
def output_refused(trial: Trial) -> None:
    """The broker refuses evaluation events as too large, and accepts them again later."""
    trial.under_load(workers=2)
    for _ in range(trial.size.faults):
        trial.wait_for_next_fault()
        with trial.fault("evaluation events are refused"):
            _limit(trial, AlterConfigOp.SET)
            time.sleep(trial.draw.uniform(4, 7))
            _limit(trial, AlterConfigOp.DELETE)
        trial.wait_for_recovery()


def _limit(trial: Trial, change: AlterConfigOp) -> None:
    topic = trial.settings.evaluation_topic
    configs = {"max.message.bytes": (change, str(REFUSING_BYTES))}
    with broker_admin(trial.settings) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])
