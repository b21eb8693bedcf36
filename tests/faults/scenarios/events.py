"""Unusual events and loads, each with a worker killed in the middle of them."""

import msgspec

from export.runtime.bundle import Bundle
from tests.faults.commits import Commits
from tests.faults.registry import scenario
from tests.faults.supervisor import Supervisor
from tests.faults.trial import Trial
from tests.support.bundles import tiny_bundle

SESSION_S = 4
DAY_MS = 86_400_000
CODECS = ("gzip", "snappy", "lz4", "zstd", None)


def _kills(trial: Trial) -> None:
    for _ in range(trial.size.faults):
        trial.pause_s()
        slot = trial.draw.choice(trial.supervisor.slots)
        with trial.fault("SIGKILL"):
            trial.supervisor.kill(slot)
    trial.wait_for_recovery()


@scenario(small={"faults": 1, "events": 9_000}, long={"events": 160_000}, session_timeout_s=SESSION_S)
def duplicates_and_disorder(trial: Trial) -> None:
    """Every event is sent once to three times, event times are out of order by up to a day."""
    trial.under_load(workers=2, repetitions=2, disorder_ms=DAY_MS)
    _kills(trial)


@scenario(small={"faults": 1}, long={"events": 200_000}, session_timeout_s=SESSION_S)
def every_codec(trial: Trial) -> None:
    """Producers compress with gzip, snappy, lz4, zstd or not at all."""
    trial.start_workers(2)
    for number, codec in enumerate(CODECS, start=1):
        trial.start_load(codec=codec)
        trial.end_load(trial.size.events * number // len(CODECS))
        if number == 2:
            trial.start_load(codec=codec)
            _kills(trial)
            trial.end_load(0)


@scenario(small={"faults": 1}, session_timeout_s=SESSION_S)
def hot_user(trial: Trial) -> None:
    """A fifth of all events are of one user: a batch steps it hundreds of times."""
    trial.under_load(workers=2, hot_share=0.2)
    _kills(trial)


@scenario(
    small={"users": 2_000, "faults": 1},
    long={"users": 10_000},
    session_timeout_s=SESSION_S,
    arena_max_users=300,
    batch_max_events=50,
)
def evictions(trial: Trial) -> None:
    """Memory holds a fraction of the users: each is evicted and restored again and again."""
    trial.under_load(workers=2)
    _kills(trial)


@scenario(small={"faults": 1}, session_timeout_s=SESSION_S)
def other_bundle(trial: Trial) -> None:
    """Workers of a second bundle run beside, with rows and a group of their own; both are killed."""
    second = tiny_bundle(trial.folder / "second-bundle", seed=1)
    settings = msgspec.structs.replace(trial.settings, bundle=str(second.path.absolute()))
    beside = Supervisor(settings, trial.folder, "second")
    trial.also.append((beside, second))
    beside.start(1)
    trial.under_load(workers=1)
    _wait_for_first_commit(trial, second)
    for _ in range(trial.size.faults):
        for supervisor in (trial.supervisor, beside):
            trial.pause_s()
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
