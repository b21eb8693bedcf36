"""`thalweg erase` must reach users of producers that choose partitions in another way than Kafka's own clients."""

from tests.referee.records import Position, Sent, murmur2_partition, user_names
from tests.referee.registry import scenario
from tests.referee.trial import Trial

ERASED = 3


@scenario(partitions=4, rule="crc32")
def erase_after_crc32(trial: Trial) -> None:
    """A producer of librdkafka. Without a worker, the command must not say that the user is erased."""
    users = _erase_some(trial)
    for worker in trial.workers:
        trial.stop(worker)
    user = users[ERASED]
    unproven = trial.command("erase", user)
    trial.expect(
        unproven.exit_code not in (None, 0), f"`thalweg erase` without a worker did not fail: {unproven.words()}"
    )
    _note_erasure(trial, user)
    trial.start(trial.workers[0])
    trial.drain()
    trial.stop(trial.workers[0])
    trial.finish()


@scenario(partitions=4, rule="fnv1a")
def erase_after_fnv1a(trial: Trial) -> None:
    """A producer of sarama."""
    _erase_some(trial)
    for worker in trial.workers:
        trial.stop(worker)
    trial.finish()


def _erase_some(trial: Trial) -> list[str]:
    """Erase users by the command while a worker runs. Returns the users whom Kafka's own rule would not find."""
    partition_of = trial.topic.partition_of
    users = user_names("user", trial.size.users)
    trial.worker()
    trial.send(trial.shop.events(users, trial.size.events))
    trial.send(trial.shop.one_each(users))
    trial.drain()
    elsewhere = [
        user for user in users if murmur2_partition(user.encode(), trial.topic.partitions) != partition_of(user)
    ]
    for user in elsewhere[:ERASED]:
        erased = trial.command("erase", user)
        trial.expect(erased.exit_code == 0, f"`thalweg erase {user}`: {erased.words()}")
        has_row = trial.connections.rows.has(trial.name, trial.models[0], user)
        trial.expect(not has_row, f"user {user!r} has a row after `thalweg erase`")
        _note_erasure(trial, user)
    trial.send(trial.shop.one_each(elsewhere[: ERASED - 1]))
    trial.drain()
    return elsewhere


def _note_erasure(trial: Trial, user: str) -> None:
    """Take over the erasure that the command has sent to the partition of the user's events."""
    partition = trial.topic.partition_of(user)
    records = [
        record
        for record in trial.connections.broker.read(trial.topic.name)
        if record.key == user.encode() and record.value is None
    ]
    found = [record for record in records if record.partition == partition]
    where = sorted({record.partition for record in records})
    if trial.expect(bool(found), f"the erasure of {user!r} stands in partitions {where}, the events in {partition}"):
        trial.sent.append(Sent(Position(trial.topic.incarnation, partition, found[-1].offset), user, None))
