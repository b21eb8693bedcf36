"""Faults of the workers themselves: killed, ended, frozen, joined by others."""

import time

from tests.faults.registry import scenario
from tests.faults.supervisor import Environment
from tests.faults.trial import Trial

# A killed worker's partitions stand still until its session ends, its own next life included.
SESSION_S = 4
ZOMBIE_SESSION_S = 6


@scenario(long={"faults": 30, "gap_s": (1.0, 7.0)}, session_timeout_s=SESSION_S)
def kill(trial: Trial) -> None:
    """SIGKILL of one of two workers at random moments."""
    trial.under_load(workers=2)
    for _ in range(trial.size.faults):
        trial.pause_s()
        slot = trial.draw.choice(trial.supervisor.slots)
        with trial.fault("SIGKILL"):
            trial.supervisor.kill(slot)
    trial.wait_for_recovery()


@scenario(small={"faults": 3}, long={"faults": 20, "gap_s": (1.0, 7.0)}, session_timeout_s=SESSION_S)
def terminate(trial: Trial) -> None:
    """SIGTERM to one of two workers at random moments."""
    trial.under_load(workers=2)
    for _ in range(trial.size.faults):
        trial.pause_s()
        slot = trial.draw.choice(trial.supervisor.slots)
        with trial.fault("SIGTERM"):
            trial.supervisor.terminate(slot)
    trial.wait_for_recovery()


@scenario(
    small={"faults": 3}, long={"faults": 20, "rate": 2_000.0}, drain_s=240.0, session_timeout_s=3, batch_max_events=200
)
def kill_between_publish_and_write(trial: Trial) -> None:
    """Outputs are confirmed, rows are not written: a replay repeats the outputs."""
    _kill_at(trial, ["write:before"])


@scenario(
    small={"faults": 3}, long={"faults": 20, "rate": 2_000.0}, drain_s=240.0, session_timeout_s=3, batch_max_events=200
)
def kill_between_write_and_ack(trial: Trial) -> None:
    """Rows are written, nothing is committed: a replay recognises every event."""
    _kill_at(trial, ["write:after"])


@scenario(
    small={"faults": 3}, long={"faults": 20, "rate": 2_000.0}, drain_s=240.0, session_timeout_s=3, batch_max_events=200
)
def kill_in_publish_or_write(trial: Trial) -> None:
    """Some of the outputs or some of the rows are there."""
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
    """A tenth of the events is evaluated, and the worker dies around that: replays choose the same tenth."""
    _kill_at(trial, ["publish:before", "publish:during", "write:before"])


@scenario(
    small={"faults": 3, "users": 150},
    long={"faults": 20, "rate": 2_000.0},
    drain_s=240.0,
    session_timeout_s=3,
    batch_max_events=200,
)
def kill_in_erasure(trial: Trial) -> None:
    """Users are erased under load, and the worker dies before, in and after an erasure."""
    _kill_at(trial, ["erase:before", "erase:during", "erase:after"], erasures_share=0.02)


def _kill_at(trial: Trial, points: list[str], **load: float) -> None:
    """One worker whose first lives, as many as there are faults, end at one of these points."""
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
            if not trial.wait_until(lambda n=count: supervisor.killed_itself() >= n, 60, f"{count} lives are killed"):
                return
    trial.wait_for_recovery()


@scenario(small={"faults": 4}, long={"faults": 24, "gap_s": (3.0, 8.0)}, session_timeout_s=SESSION_S)
def workers_join_and_leave(trial: Trial) -> None:
    """From one to three workers and back, under load."""
    trial.under_load(workers=1)
    supervisor, added = trial.supervisor, []
    while len(trial.faults) < trial.size.faults:
        for _ in range(2):
            with trial.fault("one more worker"):
                added.append(supervisor.add())
                trial.pause_s()
        for _ in range(2):
            with trial.fault("one worker less"):
                supervisor.remove(added.pop())
            trial.pause_s()
    trial.wait_for_recovery()


@scenario(small={"faults": 1}, long={"faults": 8}, session_timeout_s=ZOMBIE_SESSION_S)
def zombie(trial: Trial) -> None:
    """A worker is frozen until another has taken its partitions, then goes on where it stood."""
    trial.under_load(workers=2)
    for _ in range(trial.size.faults):
        trial.pause_s()
        slot = trial.draw.choice(trial.supervisor.running)
        with trial.fault("SIGSTOP beyond the session timeout"):
            frozen = slot.current
            frozen.pause()
            time.sleep(ZOMBIE_SESSION_S + trial.draw.uniform(2, 4))
            frozen.resume()
    trial.wait_for_recovery()
