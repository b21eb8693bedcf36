"""Unusual events and loads. In each scenario, a worker is killed while the load runs."""

import msgspec

from export.runtime.bundle import Bundle
from tests.faults.registry import scenario
from tests.faults.supervisor import Supervisor
from tests.faults.trial import Trial
from tests.faults.watch.commits import Commits
from tests.support.bundles import tiny_bundle

SESSION_S = 4
DAY_MS = 86_400_000
CODECS = ("gzip", "snappy", "lz4", "zstd", None)


def _kills(trial: Trial) -> None:
    for _ in range(trial.size.faults):
        trial.wait_for_next_fault()
        slot = trial.draw.choice(trial.supervisor.slots)
        with trial.fault("SIGKILL"):
            trial.supervisor.kill(slot)
    trial.wait_for_recovery()


@scenario(small={"faults": 1, "events": 9_000}, long={"events": 160_000}, session_timeout_s=SESSION_S)
def duplicates_and_disorder(trial: Trial) -> None:
    """Every event is sent one to three times, and event times are out of order by up to a day."""
    trial.under_load(workers=2, repetitions=2, disorder_ms=DAY_MS)
    _kills(trial)


@scenario(small={"faults": 1}, long={"events": 200_000}, session_timeout_s=SESSION_S)
def every_codec(trial: Trial) -> None:
    """The producer compresses with gzip, snappy, lz4 and zstd, and also sends without compression."""
    trial.start_workers(2)
    for number, codec in enumerate(CODECS, start=1):
        trial.start_load(codec=codec)
        trial.end_load(trial.size.events * number // len(CODECS))
        if number == 2:
            trial.commits.wait_for(1)
            trial.start_load(codec=codec)
            _kills(trial)
            trial.end_load(0)


@scenario(small={"faults": 1}, session_timeout_s=SESSION_S)
def hot_user(trial: Trial) -> None:
    """One user has a fifth of all events, so that a micro-batch steps the user hundreds of times."""
    trial.under_load(workers=2, hot_share=0.2)
    _kills(trial)


@scenario(
    small={"users": 2_000, "faults": 1},
    long={"users": 10_000},
    session_timeout_s=SESSION_S,
    arena_max_users=300,
    batch_max_events=50,
    drain_s=300.0,  # Each micro-batch of 50 events evicts users and reads rows, so a backlog takes minutes.
)
def evictions(trial: Trial) -> None:
    """The memory holds only some of the users, so that each user is evicted and restored many times."""
    trial.under_load(workers=2)
    _kills(trial)


@scenario(small={"faults": 1}, session_timeout_s=SESSION_S)
def other_bundle(trial: Trial) -> None:
    """Workers of two bundles run side by side, each with its own rows and consumer group. Both are killed."""
    second = tiny_bundle(trial.folder / "second-bundle", seed=1)
    settings = msgspec.structs.replace(trial.settings, bundle=str(second.path.absolute()))
    beside = Supervisor(settings, trial.folder, "second")
    trial.also.append((beside, second))
    beside.start(1)
    trial.under_load(workers=1)
    _wait_for_first_commit(trial, second)
    for _ in range(trial.size.faults):
        for supervisor in (trial.supervisor, beside):
            trial.wait_for_next_fault()
            with trial.fault("SIGKILL"):
                supervisor.kill(supervisor.slots[0])
    trial.wait_for_recovery()


def _wait_for_first_commit(trial: Trial, bundle: Bundle) -> None:
    commits = Commits(trial.settings, trial.settings.behavior_topic, trial.settings.consumer_group_id(bundle.bundle_id))
    commits.start()
    try:
        commits.wait_for(1)
    finally:
        commits.stop()
