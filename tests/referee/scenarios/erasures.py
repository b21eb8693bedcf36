"""Erasures: each bundle erases a user in order with the user's events, and a replay changes nothing."""

import time

from tests.referee.product import run
from tests.referee.records import user_names
from tests.referee.registry import scenario
from tests.referee.trial import StopTrialError, Trial

REFUSED_LIMIT_S = 60.0
ERASED_LIMIT_S = 20.0
ATTEMPTS = 5
BETWEEN = 80  # events of other users, of more users than a small arena holds
SMALL_ARENA = {"arena_max_users": 20, "batch_max_events": 15}  # A batch may need a place for each of its events.


@scenario()
def erasure_of_two_bundles(trial: Trial) -> None:
    """The worker of the second bundle restarts behind an erasure that the first bundle has passed."""
    first, second = trial.models
    users = user_names("user", trial.size.users)
    workers = [trial.worker(first), trial.worker(second)]
    trial.send(trial.shop.events(users, trial.size.events))
    last = {user: trial.shop.event(user) for user in users}
    trial.send(last.items())
    for model in trial.models:
        trial.drain(model)
    trial.stop(workers[1])
    erased = users[:10]
    trial.send((user, last[user]) for user in users)  # The producer repeats the last event of every user.
    trial.send(trial.shop.one_each(users))
    trial.send((user, None) for user in erased)
    trial.send(trial.shop.one_each(users[5:]))
    trial.drain(first)
    trial.start(workers[1])
    trial.drain(second)
    for worker in workers:
        trial.stop(worker)
    trial.finish(first, second)


@scenario(partitions=1, session_timeout_s=4, **SMALL_ARENA)
def crash_behind_an_erasure(trial: Trial) -> None:
    """A worker is killed after it has deleted the row of an erased user and before it commits the erasure.

    The memory holds few users, so the restarted worker has to look for the erased user's history between the events.
    """
    model = trial.models[0]
    users = user_names("user", trial.size.users)
    worker = trial.worker()
    trial.send(trial.shop.events(users, trial.size.events))
    trial.drain()
    for user in users[:ATTEMPTS]:
        others = users[ATTEMPTS:]
        last = trial.shop.event(user)
        trial.send([(user, last), *trial.shop.events(others, BETWEEN)])
        trial.drain()
        records = [(user, last), *trial.shop.events(others, BETWEEN), (user, trial.shop.event(user))]
        sent = trial.send([*records, *trial.shop.events(others, BETWEEN), (user, None)])
        deadline = time.monotonic() + ERASED_LIMIT_S
        while trial.connections.rows.has(trial.name, model, user):
            if time.monotonic() > deadline:
                raise StopTrialError(f"user {user!r} still has a row {ERASED_LIMIT_S:.0f} s after the erasure")
        worker.kill()
        is_behind = trial.committed().get(0, 0) <= sent[0].position.offset
        trial.start(worker)
        if is_behind:
            break
    trial.expect(is_behind, f"in {ATTEMPTS} attempts, the worker had committed before it was killed")
    trial.drain()
    trial.stop(worker)
    trial.finish()


@scenario(partitions=1, **SMALL_ARENA)
def replay_over_an_erasure(trial: Trial) -> None:
    """The group of a bundle is set back to the beginning, and the worker reads all events and erasures again.

    The memory holds few users. A user who is evicted between two events before the erasure must not become a new user,
    although no row of the user can be stored behind the erasure.
    """
    users = user_names("user", trial.size.users)
    worker = trial.worker()
    trial.send(trial.shop.events(users, trial.size.events))
    erased = users[:10]
    last = {user: trial.shop.event(user) for user in erased}
    trial.send(last.items())
    trial.send(trial.shop.events(users[10:], BETWEEN))
    trial.send(last.items())  # The producer repeats the last event of every user that will be erased.
    trial.send((user, None) for user in erased)
    trial.send(trial.shop.one_each(users[5:]))
    trial.drain()
    trial.stop(worker)
    trial.judge()
    evaluated = len(trial.evaluations())
    trial.connections.broker.set_committed(trial.group(), trial.topic.name, 0)
    trial.start(worker)
    trial.drain()
    trial.stop(worker)
    trial.expect(len(trial.evaluations()) > evaluated, "the worker did not evaluate the erased users' events again")
    trial.finish()


@scenario()
def second_topic(trial: Trial) -> None:
    """A keyspace takes the events of one behaviour topic alone."""
    worker = trial.worker()
    users = user_names("user", trial.size.users)
    trial.send(trial.shop.events(users, trial.size.events))
    trial.drain()
    other = f"{trial.name}.other"
    trial.connections.broker.create(other, trial.topic.partitions)
    refused = run(["worker"], trial.environment(behavior_topic=other), REFUSED_LIMIT_S)
    trial.expect(
        refused.exit_code not in (None, 0) and all(name in refused.stderr for name in (trial.name, other)),
        f"a worker of topic {other} was not refused with a message that names keyspace and topic: {refused.words()}",
    )
    trial.stop(worker)
    trial.finish()
