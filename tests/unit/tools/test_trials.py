"""What the suite of faults says of a scenario."""

from tests.faults.trial import Fault, Trial


class Commits:
    """One commit at each whole second."""

    def next_after(self, moment: float) -> float:
        return float(int(moment) + 1)


def trial(*faults: Fault) -> Trial:
    made = object.__new__(Trial)
    made.faults, made.commits = list(faults), Commits()  # type: ignore[assignment]  # only next_after is asked
    return made


def test_the_longest_recovery_counts_and_a_scenario_without_a_fault_has_none() -> None:
    assert trial().recovery_s() is None
    assert trial(Fault("kill", 1.0, 2.5), Fault("kill", 5.0, 5.25)).recovery_s() == 0.75
    assert trial(Fault("kill", 1.0, 2.5), Fault("kill", 2.75, 5.75)).recovery_s() == 0.25, "the next fault came first"
