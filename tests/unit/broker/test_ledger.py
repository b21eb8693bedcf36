"""The ledger of batches, which tells the offset that may be committed."""

from hypothesis import given
from hypothesis import strategies as st

from streams.broker.offsets.ledger import Ledger


def test_no_commit_passes_a_batch_that_is_not_acknowledged() -> None:
    ledger = Ledger()
    first, second, third = (ledger.enter(last, 1) for last in (9, 19, 29))
    second.acked = third.acked = True
    assert ledger.pop_committable() is None
    first.acked = True
    assert ledger.pop_committable() == 30
    assert len(ledger) == 0


def test_batches_of_an_older_generation_no_longer_count() -> None:
    ledger = Ledger()
    ledger.enter(9, 1)
    kept = ledger.enter(19, 2)
    ledger.drop_before(2)
    kept.acked = True
    assert ledger.pop_committable() == 20


@given(st.permutations(range(6)))
def test_the_commit_is_at_the_end_of_the_first_acknowledged_batches(order: list[int]) -> None:
    ledger = Ledger()
    entries = [ledger.enter(10 * i + 9, 1) for i in range(6)]
    done: set[int] = set()
    committed = 0
    for index in order:
        entries[index].acked = True
        done.add(index)
        committed = ledger.pop_committable() or committed
        beginning = next((i for i in range(6) if i not in done), 6)
        assert committed == 10 * beginning
