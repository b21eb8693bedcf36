"""One run of one scenario: a topic, a keyspace, workers, the records that were sent, and what was found."""

import json
import random
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.referee.judgement import Findings, Outputs, RecordIds, judge
from tests.referee.model import VOCABULARIES, Model
from tests.referee.product import POLL_S, PREFIX, READY_LIMIT_S, Finished, Services, Worker, run
from tests.referee.recompute import recompute
from tests.referee.records import RULES, Event, Rule, Sent, Shop, ends_of
from tests.referee.registry import SIZES, Scenario
from tests.referee.rows import Row, Rows
from tests.referee.topics import Broker, Producer

DRAIN_LIMIT_S = 90.0
LOOK_EVERY_S = 0.5
TOPICS = {"behavior": "events", "dead_letter": "dlq", "updates": "updates", "evaluation": "scores", "metrics": "met"}


@dataclass
class Result:
    """A scenario's row in the table of results. The counts are of all bundles."""

    name: str
    records: int = 0
    applied: int = 0
    lost: int = 0
    twice: int = 0
    differing: int = 0
    elapsed_s: float = 0.0
    problems: list[str] = field(default_factory=list)


class StopTrialError(Exception):
    """The scenario cannot go on. The message says why."""


class Connections:
    """What all trials share: the services, the clients and the models."""

    def __init__(self, services: Services, models: Sequence[Model]) -> None:
        self.services = services
        self.broker = Broker(services.broker)
        self.rows = Rows(services.cassandra)
        self.models = models

    def vocabulary(self) -> dict[str, list[str]]:
        """The names that at least one bundle knows."""
        return {name: sorted({text for one in self.models for text in one.vocabulary[name]}) for name in VOCABULARIES}


class Topic:
    """The behaviour topic of a trial: its name, and how often it was made again."""

    def __init__(self, broker: Broker, name: str, partitions: int, rule: Rule) -> None:
        """rule: by which the producers choose the partition."""
        self.name = name
        self.partitions = partitions
        self.rule = rule
        self.first_epochs = [0]  # by incarnation
        self._last_epoch = 0
        self._broker = broker
        broker.create(name, partitions)

    @property
    def incarnation(self) -> int:
        return len(self.first_epochs) - 1

    def partition_of(self, user_id: str) -> int:
        return self.rule(user_id.encode(), self.partitions)

    def grow(self, partitions: int) -> None:
        """Add partitions. The workers begin a further epoch of the same incarnation."""
        self._broker.grow(self.name, partitions)
        self.partitions = partitions
        self._last_epoch += 1

    def make_again(self, partitions: int) -> None:
        """Delete the topic and create a topic of the same name."""
        self._broker.delete(self.name)
        self._broker.create(self.name, partitions)
        self.partitions = partitions
        self._last_epoch += 1
        self.first_epochs.append(self._last_epoch)


class Trial:
    """What a scenario uses."""

    def __init__(self, scenario: Scenario, scale: str, connections: Connections, folder: Path, seed: int) -> None:
        self.name = f"r{uuid.uuid4().hex[:10]}"
        self.size = SIZES[scale]
        self.connections = connections
        rule = RULES[scenario.rule]
        self.shop = Shop(random.Random(f"{seed}-{scenario.name}"), connections.vocabulary())
        self.topic = Topic(connections.broker, f"{self.name}.{TOPICS['behavior']}", scenario.partitions, rule)
        self.sent: list[Sent] = []
        self.result = Result(scenario.name)
        self.workers: list[Worker] = []
        self._environment = {**connections.services.environment, **settings_of(self.name, scenario.settings)}
        self._folder = folder

    @property
    def models(self) -> Sequence[Model]:
        return self.connections.models

    # Records

    def producer(self, transactional_id: str | None = None) -> Producer:
        """A producer to the topic as it is now. Call `note` when the producer has sent records."""
        topic = self.topic
        broker = self.connections.broker
        return Producer(broker, topic.name, topic.incarnation, topic.partitions, topic.rule, transactional_id)

    def note(self, producer: Producer) -> None:
        """Take over the records that the producer has sent since the last call."""
        self.sent += producer.confirmed
        producer.confirmed = []

    def send(self, records: Iterable[tuple[str, Event | None]]) -> list[Sent]:
        """Send records outside of a transaction, confirmed."""
        with self.producer() as producer:
            sent = producer.send(records)
            self.note(producer)
        return sent

    # The product

    def environment(self, model: Model | None = None, **settings: object) -> dict[str, str]:
        """The variables of a command that serves a bundle (default: the first), with these settings changed."""
        named = {f"{PREFIX}{name.upper()}": str(value) for name, value in settings.items()}
        return {**self._environment, f"{PREFIX}BUNDLE": str((model or self.models[0]).folder), **named}

    def worker(self, model: Model | None = None) -> Worker:
        """Start a worker of a bundle (default: the first), and wait until the worker holds partitions."""
        worker = Worker(self.environment(model), self._folder / f"worker-{len(self.workers)}")
        self.workers.append(worker)
        self.start(worker)
        return worker

    def start(self, worker: Worker) -> None:
        """Start a worker that does not run, and wait until the worker holds partitions."""
        worker.start()
        self.wait_for(lambda: worker.is_ready() or not worker.is_running, READY_LIMIT_S, "a worker is ready")
        if not worker.is_running:
            raise StopTrialError(f"a worker ended at its start: {worker.words('stderr').strip()[-500:]!r}")
        worker.is_supervised = True

    def stop(self, worker: Worker) -> None:
        """Stop a worker in order."""
        code, took_s = worker.stop()
        self.expect(code == 0, f"a worker ended with exit code {code}, {took_s:.0f} s after SIGTERM")

    def command(self, *arguments: str, model: Model | None = None) -> Finished:
        return run(arguments, self.environment(model))

    def group(self, model: Model | None = None) -> str:
        return f"{self.name}-{(model or self.models[0]).bundle_id}"

    def committed(self, model: Model | None = None) -> dict[int, int]:
        """By partition, the next offset that the bundle's group reads."""
        return self.connections.broker.committed(self.group(model), self.topic.name)

    # Waiting and judging

    def expect(self, holds: bool, problem: str) -> bool:
        if not holds:
            self.result.problems.append(problem)
        return holds

    def wait_for(self, holds: Callable[[], bool], limit_s: float, what: str, every_s: float = POLL_S) -> bool:
        """Wait, and meanwhile start workers again that ended with exit code 1. Notes a problem after the limit."""
        deadline = time.monotonic() + limit_s
        while not holds():
            if time.monotonic() > deadline:
                return self.expect(False, f"not within {limit_s:.0f} s: {what}")
            for worker in self.workers:
                worker.restart_after_error()
            time.sleep(every_s)
        return True

    def drain(self, model: Model | None = None, limit_s: float = DRAIN_LIMIT_S) -> bool:
        """Wait until the bundle's group has committed every record, and every applied event is evaluated."""
        one = model or self.models[0]
        ends = ends_of(self.sent, self.topic.incarnation)
        due = {self.ids.of(position) for position in recompute(one, self.sent).evaluated}

        def is_drained() -> bool:
            committed = self.committed(one)
            if any(committed.get(partition, 0) < end for partition, end in ends.items()):
                return False
            events = map(json.loads, self.evaluations())
            return due <= {event["id"] for event in events if event["bundle_id"] == one.bundle_id}

        return self.wait_for(is_drained, limit_s, f"bundle {one.bundle_id} has applied {len(due)} events", LOOK_EVERY_S)

    @property
    def ids(self) -> RecordIds:
        return RecordIds(self.topic.name, tuple(self.topic.first_epochs))

    def evaluations(self) -> list[bytes]:
        """The values of the evaluation topic."""
        records = self.connections.broker.read(f"{self.name}.{TOPICS['evaluation']}")
        return [record.value for record in records]

    def rows(self, model: Model | None = None) -> dict[str, Row]:
        return self.connections.rows.of_bundle(self.name, model or self.models[0])

    def judge(self, model: Model | None = None, records: Sequence[Sent] | None = None) -> Findings:
        """Judge what is there for a bundle (default: the first) after these records (default: all).

        Every problem becomes a problem of the trial.
        """
        one = model or self.models[0]
        updates = self.connections.broker.read(self.connections.rows.updates_topic(self.name, one))
        outputs = Outputs(self.rows(one), self.evaluations(), [(record.key, record.value) for record in updates])
        found = judge(one, recompute(one, self.sent if records is None else records), outputs, self.ids)
        self.result.problems += found.problems
        return found

    def finish(self, *models: Model) -> None:
        """Judge the bundles (default: the first) at the end of a scenario, and enter the counts into the result."""
        for model in models or self.models[:1]:
            found = self.judge(model)
            self.result.applied += found.applied
            self.result.lost += found.lost
            self.result.twice += found.twice
            self.result.differing += found.differing


def settings_of(name: str, settings: Mapping[str, str]) -> dict[str, str]:
    """The variables of the product's settings: topics, keyspace and group of this trial's own, then `settings`."""
    own = {"keyspace": name, "group": name, **{f"{kind}_topic": f"{name}.{end}" for kind, end in TOPICS.items()}}
    return {f"{PREFIX}{setting.upper()}": value for setting, value in {**own, **settings}.items()}


def run_scenario(scenario: Scenario, scale: str, connections: Connections, folder: Path, seed: int) -> Result:
    """Run a scenario. Problems, also an error of the scenario itself, stand in the result."""
    began_s = time.monotonic()
    trial = Trial(scenario, scale, connections, folder / scenario.name, seed)
    try:
        scenario.play(trial)
    except Exception as error:
        trial.result.problems.append(f"{type(error).__name__}: {error}")
    finally:
        for worker in trial.workers:
            worker.kill()
    trial.result.records = len(trial.sent)
    trial.result.elapsed_s = time.monotonic() - began_s
    return trial.result
