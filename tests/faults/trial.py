"""One run of one scenario: its deployment, load, workers and faults, and the result of the checks."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from export.runtime.bundle import Bundle
from streams.broker.offsets.group_offsets import count_members
from streams.broker.topics import describe_topic
from streams.config.errors import BrokerError
from streams.local import LocalServices
from tests.faults.checks import check
from tests.faults.load import Load, Sender
from tests.faults.registry import Scenario, Skipped
from tests.faults.supervisor import Supervisor
from tests.faults.truth import Truth
from tests.faults.watch.answers import Answers
from tests.faults.watch.commits import Commits
from tests.faults.watch.health import wait_until_whole
from tests.support.deployment import Deployment

POLL_S = 0.2
MEMBERS_LIMIT_S = 60.0


class Row(msgspec.Struct, kw_only=True):
    """One scenario's row in the table of results."""

    name: str
    faults: int
    events: int
    lost: int | None  # None if the workers did not take all records, so that lost records cannot be told
    double_applied: int | None  # None as above
    recovery_s: float | None
    standstill_s: float | None  # longest time in which records of a partition waited and no batch was committed
    keeps_quorum: bool
    elapsed_s: float
    evaluated_again: int
    lives: int
    reads: int | None  # requests that readers of `thalweg serve` sent; None without readers
    failed_reads: int | None
    slowest_read_s: float | None
    problems: list[str]
    skipped: str | None  # why this machine cannot play the scenario


class Fault(msgspec.Struct):
    what: str
    began: float  # time.monotonic()
    ended: float


class Trial:
    """What a running scenario uses: services, deployment, load and workers. All random choices come from `draw`."""

    def __init__(
        self, scenario: Scenario, scale: str, services: LocalServices, bundle: Bundle, folder: Path, seed: int
    ) -> None:
        self.scenario = scenario
        self.size = scenario.sizes[scale]
        self.services = services
        self.bundle = bundle
        self.folder = folder
        self.draw = random.Random(f"{seed}-{scenario.name}")
        self.deployment = Deployment(services, bundle, folder, **scenario.settings)
        self.settings = self.deployment.settings
        self.truth = Truth(self.settings, self.settings.behavior_topic)
        self.supervisor = Supervisor(self.settings, folder)
        self.commits = Commits(
            self.settings, self.settings.behavior_topic, self.settings.consumer_group_id(bundle.bundle_id)
        )
        self.faults: list[Fault] = []
        self.problems: list[str] = []
        self.load: Load | None = None
        self.sender: Sender | None = None
        self.also: list[tuple[Supervisor, Bundle]] = []  # workers of other bundles that read the same topic
        self.answers: Answers | None = None
        self.records_sent = 0
        self.load_began = self.load_ended = time.monotonic()

    def start_load(self, codec: str | None = "lz4", rate: float | None = None, **load: Any) -> Sender:
        """Start to send, until `end_load`. A second call continues with the same load."""
        if self.load is None:
            self.load = Load(self.draw_of("load"), self.size.users, **load)
        topic = self.settings.behavior_topic
        partitions = describe_topic(self.settings, topic).partitions
        self.sender = Sender(self.settings.broker, topic, self.load, rate or self.size.rate, partitions, codec)
        self.sender.start()
        return self.sender

    def end_load(self, least: int | None = None) -> None:
        """Stop sending when at least `least` records (default: the size's `events`) are sent and confirmed in total."""
        if self.sender is not None:
            sender, self.sender = self.sender, None
            sender.end((self.size.events if least is None else least) - self.records_sent)
            self.records_sent += sender.sent
            self.load_ended = time.monotonic()

    def draw_of(self, purpose: str) -> random.Random:
        """Return a random source for another thread. A shared one would make draws depend on the threads' order."""
        return random.Random(f"{purpose}-{self.draw.random()}")

    def start_workers(self, count: int) -> None:
        self.supervisor.start(count)
        self.commits.start()

    def under_load(self, workers: int, **load: Any) -> None:
        """Start workers and a load, and wait until the first records are committed. Readers ask a cluster besides."""
        self.start_workers(workers)
        self.start_load(**load)
        self.commits.wait_for(1)
        if self.scenario.nodes > 1:
            self.commits.wait_for_all(self.settings.partitions)
            self.wait_until(lambda: self._members() == workers, MEMBERS_LIMIT_S, "all workers are in the group")
            log, draw = self.folder / "server.log", self.draw_of("answers")
            self.answers = Answers(self.supervisor.settings, self.bundle, log, self.size.users, draw)
            self.answers.begin()
        self.load_began = time.monotonic()

    def wait_for_next_fault(self) -> None:
        """Sleep for a random time, so that the next fault comes at a random moment."""
        time.sleep(self.draw.uniform(*self.size.gap_s))

    @contextlib.contextmanager
    def fault(self, what: str) -> Iterator[None]:
        """Record the time span of a fault."""
        began = time.monotonic()
        yield
        self.faults.append(Fault(what, began, time.monotonic()))

    def wait_for_recovery(self, limit_s: float = 60.0) -> None:
        """Wait until a batch is committed after the last fault."""
        deadline = time.monotonic() + limit_s
        while self.commits.next_after(self.faults[-1].ended) is None:
            if time.monotonic() > deadline:
                self.problems.append(f"nothing was committed within {limit_s:.0f} s after {self.faults[-1].what}")
                return
            time.sleep(POLL_S)

    def wait_until(self, holds: Callable[[], bool], limit_s: float, what: str) -> bool:
        deadline = time.monotonic() + limit_s
        while not holds():
            if time.monotonic() > deadline:
                self.problems.append(f"not within {limit_s:.0f} s: {what}")
                return False
            time.sleep(POLL_S)
        return True

    def expect_in_log(self, text: str) -> None:
        self.wait_until(lambda: text in self.supervisor.logs(), 30.0, f"a worker's log says {text!r}")

    def drain(self, least: int | None = None) -> bool:
        """End the load and wait until the consumer group of each bundle has committed everything."""
        self.end_load(least)
        if self.answers is not None:
            self.answers.end()
        bundles = [self.bundle, *(bundle for _, bundle in self.also)]
        is_drained = all(
            self.wait_until(lambda bundle=bundle: self._lag(bundle) == 0, self.scenario.drain_s, "everything committed")
            for bundle in bundles
        )
        self.end_readers(is_drained)
        return is_drained

    def _members(self) -> int:
        """The members of the group, 0 while no broker tells."""
        try:
            return count_members(self.settings, self.settings.consumer_group_id(self.bundle.bundle_id))
        except BrokerError:
            return 0

    def end_readers(self, is_drained: bool = False) -> None:
        """Let the readers and their server end, and count the failed requests as problems.

        is_drained: everything is committed. Then each user is asked for once more, and must have all events.
        """
        if self.answers is not None and not self.answers.has_stopped:
            self.answers.end()
            if is_drained:
                self.truth.read()
                self.answers.ask_each(self.truth.expected().steps)
            self.answers.stop()
            self.problems += [f"a reader got no right answer at {failed}" for failed in self.answers.failed[:5]]

    def _lag(self, bundle: Bundle) -> int | None:
        try:
            group_id = self.settings.consumer_group_id(bundle.bundle_id)
            return describe_topic(self.settings, self.settings.behavior_topic, group_id).lag
        except BrokerError:
            return None

    def wait_until_whole(self) -> None:
        """Wait until the faults so far have left no trace in the services."""
        try:
            wait_until_whole(self.services, self.settings)
        except TimeoutError as error:
            self.problems.append(str(error))

    def stop_workers(self) -> None:
        for supervisor in (self.supervisor, *(supervisor for supervisor, _ in self.also)):
            supervisor.stop()
            self.problems += supervisor.slow_to_end
            supervisor.slow_to_end.clear()

    def note_tracebacks(self) -> None:
        """Count each process of a worker that logged a traceback and no reason of its end as a problem."""
        for supervisor in (self.supervisor, *(supervisor for supervisor, _ in self.also)):
            for life in supervisor.crashed():
                self.problems.append(f"{life.log.parent.name} logged a traceback: {life.last_lines(3)}")

    def note_standstill(self, length_s: float, partition: int, began: float) -> None:
        """Write into the folder of the logs when a partition stood still longest, and which faults came before."""
        lines = [f"partition {partition} stood still for {length_s:.1f} s from {began:.1f}"]
        lines += [f"{fault.what}: {fault.began:.1f} to {fault.ended:.1f}" for fault in self.faults]
        (self.folder / "standstill.txt").write_text("\n".join(lines) + "\n")

    def recovery_s(self) -> float | None:
        """Return the longest time from the end of a fault to the next commit, or None.

        A fault does not count if the next fault began before that commit.
        """
        found: list[float] = []
        following = [*(fault.began for fault in self.faults), float("inf")][1:]
        for fault, next_fault in zip(self.faults, following, strict=True):
            committed = self.commits.next_after(fault.ended)
            if committed is not None and committed < next_fault:
                found.append(committed - fault.ended)
        return max(found, default=None)


def run_scenario(
    scenario: Scenario, scale: str, services: LocalServices, bundle: Bundle, folder: Path, seed: int
) -> Row:
    """Run a scenario and check the result. The services run before and after."""
    began = time.monotonic()
    folder = folder / f"{scenario.name}-{time.monotonic_ns()}"
    folder.mkdir(parents=True)
    trial = Trial(scenario, scale, services, bundle, folder, seed)
    lost, double, again, skipped = None, None, 0, None
    try:
        scenario.play(trial)
        drained = trial.drain()
        trial.stop_workers()
        if drained:
            lost = double = 0
            for settings, one in ((trial.settings, bundle), *((s.settings, b) for s, b in trial.also)):
                answers = trial.answers.kept if trial.answers is not None and one is bundle else ()
                found = check(settings, one, trial.truth, trial.records_sent, answers)
                lost, double, again = lost + found.lost, double + found.double_applied, again + found.evaluated_again
                trial.problems += found.problems
        else:
            trial.problems += [life.last_lines(3) for life in trial.supervisor.failed()[-1:]]
    except Skipped as reason:
        skipped = str(reason)
    except (Exception, asyncio.CancelledError) as error:
        trial.problems.append(f"{type(error).__name__}: {error}")
    finally:
        for node in services.processes.values():  # before the workers, which wait for the services while they end
            if node.pid is not None:
                node.resume()
            node.start()
        trial.stop_workers()
        trial.end_readers()
        trial.wait_until_whole()
        if trial.sender is not None:
            trial.sender.end()
        trial.note_tracebacks()
        if trial.commits.ident is not None:
            trial.commits.stop()
            trial.problems += trial.commits.problems
    delivered = {} if trial.load is None else trial.load.delivered
    standstill = trial.commits.standstill(trial.load_began, trial.load_ended, delivered)
    if standstill is not None:
        trial.note_standstill(*standstill)
    return Row(
        name=scenario.name,
        faults=len(trial.faults),
        events=0 if trial.load is None else trial.load.events.total(),
        lost=lost,
        double_applied=double,
        recovery_s=trial.recovery_s(),
        standstill_s=None if standstill is None else standstill[0],
        keeps_quorum=scenario.keeps_quorum,
        elapsed_s=time.monotonic() - began,
        evaluated_again=again,
        lives=len(trial.supervisor.lives),
        reads=None if trial.answers is None else trial.answers.count,
        failed_reads=None if trial.answers is None else len(trial.answers.failed),
        slowest_read_s=None if trial.answers is None else trial.answers.slowest_s,
        problems=trial.problems,
        skipped=skipped,
    )
