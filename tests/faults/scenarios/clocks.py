"""Faults of the clocks of workers."""

from tests.faults.registry import scenario
from tests.faults.supervisor import Environment
from tests.faults.trial import Trial

APART_S = 300.0
SESSION_S = 4
RECOVERY_S = 60.0


@scenario(nodes=3, alone=True, small={"faults": 2}, long={"faults": 6}, session_timeout_s=SESSION_S)
def clocks_apart(trial: Trial) -> None:
    """The clocks of two workers are five minutes apart. Each is killed, so that users move between the clocks."""

    def faults_of(life: int) -> Environment:
        return {"FAULT_CLOCK_S": str(APART_S / 2 if life % 2 else -APART_S / 2)}

    trial.supervisor.faults_of = faults_of
    trial.under_load(workers=2)
    for number in range(trial.size.faults):
        trial.wait_for_next_fault()
        with trial.fault("SIGKILL"):
            trial.supervisor.kill(trial.supervisor.slots[number % 2])
        ended = trial.faults[-1].ended  # The other worker is killed only when this one has its partitions back.
        trial.wait_until(lambda ended=ended: trial.commits.have_all_after(ended), RECOVERY_S, "all partitions go on")
