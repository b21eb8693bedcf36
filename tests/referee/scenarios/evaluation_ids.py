"""The ids of evaluation events: one id for each event, for ever, whatever happens to the topic and the worker."""

from tests.referee.records import user_names
from tests.referee.registry import scenario
from tests.referee.trial import Trial


@scenario(partition_handover_s=1)
def evaluation_ids(trial: Trial) -> None:
    """A topic gets more partitions, and is then deleted and made again; then a worker evaluates events twice.

    The id names the first epoch of the topic's incarnation. Added partitions begin the epoch 1, so the topic that was
    made again begins with the epoch 2. Cassandra stands still while the last events are evaluated, so the rows of these
    events are missing when the worker is killed, and the next worker evaluates the events again.
    """
    users = user_names("user", trial.size.users)
    worker = trial.worker()
    trial.send(trial.shop.events(users, trial.size.events))
    trial.drain()
    trial.topic.grow(2 * trial.topic.partitions)
    trial.send(trial.shop.events(users, trial.size.events))
    trial.drain()
    trial.stop(worker)
    trial.topic.make_again(trial.topic.partitions)
    trial.send(trial.shop.one_each(users, 5))  # The next worker then has every user in memory.
    trial.start(worker)
    trial.drain()
    with trial.connections.services.cassandra_paused():
        before = len(trial.evaluations())
        sent = trial.send(trial.shop.one_each(users))
        what = f"{len(sent)} events are evaluated while Cassandra stands still"
        trial.wait_for(lambda: len(trial.evaluations()) >= before + len(sent), 30.0, what)
        worker.kill()
    trial.start(worker)
    trial.drain()
    trial.wait_for(
        lambda: len(trial.evaluations()) >= before + 2 * len(sent), 30.0, "the next worker evaluates the events again"
    )
    trial.stop(worker)
    trial.finish()
