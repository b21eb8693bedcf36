"""Faults of the workers: a worker is killed, ended, frozen, added or removed."""

import os
import signal
import time

from streams.local.process.process_ids import is_running
from tests.faults.registry import scenario
from tests.faults.supervisor import Environment
from tests.faults.trial import Trial

# The broker assigns the partitions of a killed worker again only when the worker's session has timed out.
SESSION_S = 4
ZOMBIE_SESSION_S = 6


@scenario(long={"faults": 30, "gap_s": (1.0, 7.0)}, session_timeout_s=SESSION_S)
def kill(trial: Trial) -> None:
    """One of two workers is killed (SIGKILL) at random moments."""
    trial.under_load(workers=2)
    for _ in range(trial.size.faults):
        trial.wait_for_next_fault()
        slot = trial.draw.choice(trial.supervisor.slots)
        with trial.fault("SIGKILL"):
            trial.supervisor.kill(slot)
    trial.wait_for_recovery()


@scenario(small={"faults": 4}, long={"faults": 30, "gap_s": (1.0, 7.0)}, session_timeout_s=SESSION_S)
def kill_of_processes(trial: Trial) -> None:
    """`thalweg worker --processes 3`: one of its processes is killed (SIGKILL), and every fourth time all of them."""
    supervisor = trial.supervisor
    supervisor.options = ("--processes", "3")
    trial.under_load(workers=1)
    for count in range(1, trial.size.faults + 1):
        trial.wait_for_next_fault()
        worker = supervisor.slots[0].current
        children = worker.children()
        with trial.fault("SIGKILL of a process"):
            if count % 4 == 0:  # The processes end with their supervisor, which is started again.
                supervisor.kill(supervisor.slots[0])
                trial.wait_until(lambda pids=children: not any(map(is_running, pids)), 30, "all processes have ended")
            elif children:
                os.kill(trial.draw.choice(children), signal.SIGKILL)
    trial.wait_for_recovery()


@scenario(small={"faults": 3}, long={"faults": 20, "gap_s": (1.0, 7.0)}, session_timeout_s=SESSION_S)
def terminate(trial: Trial) -> None:
    """One of two workers is ended (SIGTERM) at random moments."""
    trial.under_load(workers=2)
    for _ in range(trial.size.faults):
        trial.wait_for_next_fault()
        slot = trial.draw.choice(trial.supervisor.slots)
        with trial.fault("SIGTERM"):
            trial.supervisor.terminate(slot)
    trial.wait_for_recovery()


@scenario(
    small={"faults": 3}, long={"faults": 20, "rate": 2_000.0}, drain_s=240.0, session_timeout_s=3, batch_max_events=200
)
def kill_between_publish_and_write(trial: Trial) -> None:
    """The worker dies after its outputs are confirmed and before rows are written. A replay repeats the outputs."""
    _kill_at(trial, ["write:before"])


@scenario(
    small={"faults": 3}, long={"faults": 20, "rate": 2_000.0}, drain_s=240.0, session_timeout_s=3, batch_max_events=200
)
def kill_between_write_and_ack(trial: Trial) -> None:
    """The worker dies after rows are written and before offsets are committed. A replay recognises every event."""
    _kill_at(trial, ["write:after"])


@scenario(
    small={"faults": 3}, long={"faults": 20, "rate": 2_000.0}, drain_s=240.0, session_timeout_s=3, batch_max_events=200
)
def kill_in_publish_or_write(trial: Trial) -> None:
    """The worker dies when some of the outputs are published or some of the rows are written."""
    _kill_at(trial, ["publish:before", "publish:during", "publish:after", "write:during"])


@scenario(
    small={"faults": 3},
    long={"faults": 20, "rate": 2_000.0},
    drain_s=240.0,
    session_timeout_s=3,
    batch_max_events=200,
    evaluation_share=0.1,
)
def kill_with_a_sample_evaluated(trial: Trial) -> None:
    """A tenth of the events is evaluated, and the worker dies while it publishes. Replays choose the same tenth."""
    _kill_at(trial, ["publish:before", "publish:during", "write:before"])


@scenario(
    small={"faults": 3, "users": 150},
    long={"faults": 20, "rate": 2_000.0},
    drain_s=240.0,
    session_timeout_s=3,
    batch_max_events=200,
)
def kill_in_erasure(trial: Trial) -> None:
    """Users are erased under load, and the worker dies before, during and after an erasure."""
    _kill_at(trial, ["erase:before", "erase:during", "erase:after"], erasures_share=0.02)


def _kill_at(trial: Trial, points: list[str], **load: float) -> None:
    """Run one worker that kills itself at these points in turn, once for each fault of the scenario."""
    draw, faults = trial.draw_of("points"), trial.size.faults

    def faults_of(life: int) -> Environment:
        if life >= faults:
            return {}
        return {
            "FAULT_POINT": points[life % len(points)],
            "FAULT_CALL": str(draw.randint(2, 12)),
            "FAULT_DELAY_MS": f"{draw.uniform(0, 8):.2f}",
        }

    supervisor = trial.supervisor
    supervisor.faults_of = faults_of
    trial.start_workers(1)
    trial.start_load(**load)
    for count in range(1, faults + 1):
        with trial.fault(points[(count - 1) % len(points)]):
            if not trial.wait_until(lambda n=count: supervisor.count_killed() >= n, 60, f"{count} workers are killed"):
                return
    trial.wait_for_recovery()


@scenario(small={"faults": 4}, long={"faults": 24, "gap_s": (3.0, 8.0)}, session_timeout_s=SESSION_S)
def workers_join_and_leave(trial: Trial) -> None:
    """The number of workers changes from one to three and back, under load."""
    trial.under_load(workers=1)
    supervisor, added = trial.supervisor, []
    while len(trial.faults) < trial.size.faults:
        for _ in range(2):
            with trial.fault("one more worker"):
                added.append(supervisor.add())
                trial.wait_for_next_fault()
        for _ in range(2):
            with trial.fault("one worker fewer"):
                supervisor.remove(added.pop())
            trial.wait_for_next_fault()
    trial.wait_for_recovery()


@scenario(
    small={"faults": 6, "gap_s": (0.3, 4.0)},
    long={"faults": 300, "gap_s": (0.3, 4.0), "rate": 500.0},
    session_timeout_s=SESSION_S,
)
def stop_while_joining(trial: Trial) -> None:
    """A worker is ended (SIGTERM) at a random moment of its start and first join. Half of the times it joins alone."""
    trial.under_load(workers=1)
    supervisor, first = trial.supervisor, trial.supervisor.slots[0]
    for _ in range(trial.size.faults):
        with trial.fault("SIGTERM while joining"):
            if trial.draw.random() < 0.5:
                supervisor.terminate(first)
            slot = supervisor.add()
            trial.wait_for_next_fault()
            supervisor.remove(slot)
    trial.wait_for_recovery()


@scenario(small={"faults": 1}, long={"faults": 8}, session_timeout_s=ZOMBIE_SESSION_S)
def zombie(trial: Trial) -> None:
    """A worker is frozen until another worker has its partitions. Then it continues where it stopped."""
    trial.under_load(workers=2)
    for _ in range(trial.size.faults):
        trial.wait_for_next_fault()
        slot = trial.draw.choice(trial.supervisor.running)
        with trial.fault("SIGSTOP beyond the session timeout"):
            frozen = slot.current
            frozen.pause()
            time.sleep(ZOMBIE_SESSION_S + trial.draw.uniform(2, 4))
            frozen.resume()
    trial.wait_for_recovery()
