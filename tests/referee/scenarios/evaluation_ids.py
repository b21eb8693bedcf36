"""The ids of evaluation events: one id for each event, for ever, whatever happens to the topic and the worker."""

import json
from collections import Counter

from tests.referee.records import user_names
from tests.referee.registry import scenario
from tests.referee.trial import Trial

Scored = tuple[str, str, str, int]  # id, user, item and steps of an evaluation event


@scenario(partition_handover_s=1)
def evaluation_ids(trial: Trial) -> None:
    """A topic gets more partitions, and is then deleted and made again; then every event is evaluated once more.

    The id names the first epoch of the topic's incarnation. Added partitions begin the epoch 1, so the topic that was
    made again begins with the epoch 2. At the end, the rows are deleted and the group is set back, so that the worker
    evaluates the events of the new topic again. Their users have no events in the deleted topic.
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
    sent = trial.send(trial.shop.one_each(user_names("new", trial.size.users), 5))
    trial.start(worker)
    trial.drain()
    trial.stop(worker)
    trial.finish()
    before = _scored(trial)
    trial.connections.rows.truncate(trial.name, trial.models[0])
    trial.connections.broker.set_committed(trial.group(), trial.topic.name, 0)
    trial.start(worker)
    what = f"{len(sent)} events are evaluated again"
    trial.wait_for(lambda: _scored(trial).total() >= before.total() + len(sent), 30.0, what, every_s=1.0)
    trial.stop(worker)
    again = _scored(trial) - before
    wanted = {trial.ids.of(one.position) for one in sent}
    trial.expect(
        {one[0] for one in again} == wanted and again.total() == len(sent) and again.keys() <= before.keys(),
        f"{again.total()} events were evaluated again, {len(again.keys() - before.keys())} of them under another id or "
        f"with other content; {len(sent)} are due",
    )


def _scored(trial: Trial) -> Counter[Scored]:
    events = map(json.loads, trial.evaluations())
    return Counter((event["id"], event["user_id"], event["item_id"], event["steps"]) for event in events)
