"""How long a partition with waiting records had no commit."""

from tests.faults.load import Delivery
from tests.faults.watch.commits import Commit, Commits


def standstill(
    *seen: Commit, since: float = 0.0, delivered: dict[int, list[Delivery]]
) -> tuple[float, int, float] | None:
    commits = object.__new__(Commits)
    commits._seen = list(seen)
    return commits.standstill(since, 100.0, delivered)


def test_only_a_partition_with_waiting_records_stands_still() -> None:
    always = {0: [Delivery(10, 1.0), Delivery(20, 2.0)], 1: [Delivery(5, 1.0), Delivery(9, 11.5)]}
    waited = [Commit(3.0, 0, 10), Commit(9.0, 0, 20)]
    assert standstill(*waited, delivered=always) == (6.0, 0, 3.0)
    idle = [Commit(2.0, 1, 5), Commit(12.0, 1, 9)]
    assert standstill(*idle, delivered=always) == (0.5, 1, 11.5), "its records came late"
    assert standstill(*waited, *idle, delivered=always) == (6.0, 0, 3.0)
    assert standstill(*waited, since=7.0, delivered=always) == (2.0, 0, 7.0), "the workers had just started before"
    assert standstill(Commit(3.0, 0, 10), delivered=always) is None
