"""Faults of the data: added partitions, records deleted by retention, damaged rows."""

import time
from collections import Counter
from typing import Any

from kafka import TopicPartition

from streams.broker.topics import broker_admin, describe_topic
from streams.store.cql_schema import representations_table
from streams.store.protocol.cluster import connect
from tests.faults.registry import scenario
from tests.faults.trial import Trial


@scenario(
    small={"faults": 1},
    long={"faults": 1},
    partition_handover_s=2,
    partitions=2,
    session_timeout_s=6,
    drain_s=60.0,
)
def partitions_added(trial: Trial) -> None:
    """The topics grow from two to four partitions under load, and the producer uses the new ones."""
    trial.under_load(workers=2)
    trial.wait_for_next_fault()
    settings = trial.settings
    outputs = (settings.evaluation_topic, settings.updates_topic, settings.dead_letter_topic)
    with trial.fault("two more partitions"), broker_admin(settings) as admin:
        admin.create_partitions(dict.fromkeys(outputs, 4))
        admin.create_partitions({settings.behavior_topic: 4})
        assert trial.sender is not None, "under load"
        trial.sender.partitions = 4
    trial.wait_for_recovery()
    trial.wait_for_next_fault()


@scenario(small={"faults": 1}, long={"faults": 4})
def past_retention(trial: Trial) -> None:
    """Records are deleted before a worker applies them. Workers apply the rest and log the loss."""
    settings, supervisor = trial.settings, trial.supervisor
    trial.under_load(workers=1)
    for _ in range(trial.size.faults):
        trial.wait_for_next_fault()
        if not trial.drain(least=0):  # afterwards, the committed offsets tell which records are applied
            return
        supervisor.remove(supervisor.slots[-1])
        trial.start_load()
        time.sleep(trial.draw.uniform(1.0, 2.0))  # no worker runs and applies these records
        trial.end_load(0)
        topic = describe_topic(settings, settings.behavior_topic, settings.consumer_group_id(trial.bundle.bundle_id))
        trial.truth.read()  # before the records are deleted
        lost: dict[int, range] = {}
        for partition, end in topic.end_offsets.items():
            committed = topic.committed.get(partition, 0)
            lost[partition] = range(committed, trial.draw.randint(committed, end))
        with trial.fault("records are deleted"), broker_admin(settings) as admin:
            admin.delete_records({TopicPartition(settings.behavior_topic, p): gone.stop for p, gone in lost.items()})
        trial.truth.lose(lost)
        trial.start_load()
        supervisor.add()
        trial.wait_for_recovery()
        for partition, gone in lost.items():
            if gone:
                trial.expect_in_log(f"{len(gone)} records of {settings.behavior_topic} partition {partition} ")


@scenario(small={"faults": 3}, long={"faults": 20}, drain_s=30.0)
def damaged_row(trial: Trial) -> None:
    """State cells are corrupted while no worker runs. Then more events of the same users arrive."""
    settings, supervisor = trial.settings, trial.supervisor
    trial.under_load(workers=1)
    trial.wait_for_next_fault()
    trial.end_load()
    if not trial.drain():
        return
    supervisor.remove(supervisor.slots[-1])
    assert trial.load is not None, "under load"
    users = trial.draw.sample(_active_users(trial.load.events), trial.size.faults)
    cluster, session = connect(settings)
    for number, user in enumerate(users):
        with trial.fault(f"the row of {user} is damaged"):
            value = ("0x00", f"0x{'00' * 500}", "null")[number % 3]
            session.execute(
                f"UPDATE {settings.keyspace}.{representations_table(trial.bundle.manifest.representation_width)} "
                f"USING TIMESTAMP {_write_timestamp(session, trial, user)} SET state = {value} "
                "WHERE user_id = %s AND bundle_id = %s",
                (user, trial.bundle.bundle_id),
            )
    cluster.shutdown()
    supervisor.add()
    trial.start_load()
    trial.end_load(3 * trial.size.events)  # so many that each of these users has an event
    trial.wait_for_recovery(15)
    for user in users:
        trial.expect_in_log(repr(user))


def _active_users(events: Counter[str]) -> list[str]:
    """Return the users with the most events. They will certainly have another event."""
    return sorted(user for user, count in events.most_common(len(events) // 2))


def _write_timestamp(session: Any, trial: Trial, user: str) -> int:
    """Return a timestamp just above that of the cell, so that the worker's next write replaces the damaged cell."""
    table = representations_table(trial.bundle.manifest.representation_width)
    found = session.execute(
        f"SELECT WRITETIME(state) FROM {trial.settings.keyspace}.{table} WHERE user_id = %s AND bundle_id = %s",
        (user, trial.bundle.bundle_id),
    )
    return int(found.one()[0]) + 1
