"""How long a supervisor waits before the next start of a process."""

from streams.supervisor.backoff import FIRST_S, LONGEST_S, WELL_AFTER_S, Backoff


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff()
    waits = [backoff.next_wait_s(ran_s=1.0) for _ in range(12)]
    assert waits[:4] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S]
    assert waits[-1] == LONGEST_S
    assert max(waits) == LONGEST_S


def test_a_process_that_ran_well_begins_anew() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.next_wait_s(ran_s=0.0)
    assert backoff.next_wait_s(WELL_AFTER_S) == FIRST_S
    assert backoff.next_wait_s(WELL_AFTER_S - 1) == 2 * FIRST_S
