"""Producers with transactions: aborted records never happened, and open ones have not happened yet."""

from collections.abc import Sequence

from tests.referee.product import Worker
from tests.referee.records import user_names
from tests.referee.registry import scenario
from tests.referee.topics import Producer
from tests.referee.trial import Trial

METRIC_LIMIT_S = 15.0
STOP_LIMIT_S = 15.0
TRANSACTIONS = 24
OPEN_RECORDS = "thalweg_open_transaction_records"


@scenario()
def aborted_transactions(trial: Trial) -> None:
    """Aborted events are neither applied nor evaluated, and an aborted erasure erases nobody.

    The first three transactions are those of a shop that sends 6 events, takes 9 back and sends 3. Every partition ends
    with the marker of an aborted transaction.
    """
    worker = trial.worker()
    users = user_names("user", trial.size.users)
    with trial.producer(f"{trial.name}-shop") as producer:
        _transaction(trial, producer, ["ann", "bob", "cid"], 2)
        _transaction(trial, producer, ["ann", "bob", "dan"], 3, is_aborted=True)
        _transaction(trial, producer, ["ann", "bob", "cid"], 1)
        _transaction(trial, producer, ["hal"], 4)
        producer.begin()
        producer.send([("hal", None)])
        producer.abort()
        for number in range(TRANSACTIONS):
            chosen = trial.shop.draw.sample(users, len(users) // 3)
            _transaction(trial, producer, chosen, 2, is_aborted=number % 2 == 1)
        _transaction(trial, producer, users, 1, is_aborted=True)
    trial.drain()
    _expect_no_lag(trial, worker)
    trial.stop(worker)
    trial.finish()
    _expect_verified(trial)


@scenario()
def open_transaction(trial: Trial) -> None:
    """Records of an open transaction, and the records behind them, wait for the end of the transaction."""
    worker = trial.worker()
    users = user_names("user", trial.size.users)
    trial.send(trial.shop.events(users, trial.size.events))
    trial.drain()
    with trial.producer(f"{trial.name}-open") as producer:
        producer.begin()
        opened = producer.send(trial.shop.one_each(users[:1], 5))
        with trial.producer() as other:
            sent = other.send(trial.shop.one_each(users))
        partition = opened[0].position.partition
        held = [record for record in sent if record.position.partition == partition]
        trial.sent += [record for record in sent if record.position.partition != partition]
        trial.drain()
        waiting = len(opened) + len(held)
        trial.wait_for(
            lambda: (worker.by_partition(OPEN_RECORDS) or {}).get(partition) == waiting,
            METRIC_LIMIT_S,
            f'{OPEN_RECORDS}{{partition="{partition}"}} is {waiting}',
        )
        _expect_no_lag(trial, worker)
        code, took_s = worker.stop()
        trial.expect(
            code == 0 and took_s < STOP_LIMIT_S,
            f"before an open transaction, a worker ended with exit code {code}, {took_s:.0f} s after SIGTERM",
        )
        trial.judge()
        _expect_verified(trial)
        trial.start(worker)
        producer.commit()
        trial.note(producer)
    trial.sent += held
    trial.drain()
    _expect_no_lag(trial, worker)
    trial.stop(worker)
    trial.finish()
    _expect_verified(trial)


def _transaction(trial: Trial, producer: Producer, users: Sequence[str], count: int, is_aborted: bool = False) -> None:
    """One transaction with so many events of every user."""
    producer.begin()
    producer.send(trial.shop.one_each(users, count))
    if is_aborted:
        producer.abort()
    else:
        producer.commit()
    trial.note(producer)


def _expect_no_lag(trial: Trial, worker: Worker) -> None:
    wanted = dict.fromkeys(range(trial.topic.partitions), 0.0)
    trial.wait_for(
        lambda: worker.by_partition("thalweg_lag_records") == wanted,
        METRIC_LIMIT_S,
        "thalweg_lag_records is 0 in every partition",
    )


def _expect_verified(trial: Trial) -> None:
    verified = trial.command("verify", "--json")
    if trial.expect(verified.exit_code == 0, f"verify: {verified.words()}"):
        count = verified.json()["not_committed"]
        trial.expect(count == 0, f"verify says that {count} records are not committed")
