"""How far a partition is read: over markers, after a poll that was cut short, and after a seek."""

from faust.types import TP

from streams.broker.offsets.read_positions import Fetched, Gap, ReadPositions

TP0, TP1 = TP("events", 0), TP("events", 1)


def poll(positions: ReadPositions, delivered: dict[TP, int], fetched: dict[TP, Fetched]) -> dict[TP, Gap]:
    begun = positions.begin_poll()
    for tp, offset in delivered.items():
        positions.deliver(tp, offset)
    return positions.end_poll(begun, fetched)


def sought(**committed: int) -> ReadPositions:
    positions = ReadPositions()
    positions.seek({TP("events", int(name[1:])): offset for name, offset in committed.items()})
    return positions


def test_a_position_passes_markers_behind_the_last_record() -> None:
    positions = sought(p0=0)
    gaps = poll(positions, {TP0: 9}, {TP0: Fetched(12, 9)})
    assert positions.passed(TP0) == 12
    assert gaps == {TP0: Gap(10, 12)}


def test_a_poll_without_records_passes_an_aborted_transaction() -> None:
    positions = sought(p0=5)
    assert poll(positions, {}, {TP0: Fetched(15, None)}) == {TP0: Gap(5, 15)}
    assert positions.passed(TP0) == 15


def test_a_poll_that_was_cut_short_passes_nothing_until_the_next_seek() -> None:
    positions = sought(p0=0, p1=0)
    poll(positions, {TP0: 9}, {TP0: Fetched(10, 9), TP1: Fetched(4, 3)})  # partition 1 was not delivered
    assert (positions.passed(TP0), positions.passed(TP1)) == (0, 0)
    poll(positions, {}, {TP0: Fetched(10, None), TP1: Fetched(4, None)})  # the client is ahead of what was delivered
    assert (positions.passed(TP0), positions.passed(TP1)) == (0, 0)
    positions.seek({TP0: 10, TP1: 0})
    poll(positions, {TP1: 3}, {TP0: Fetched(10, None), TP1: Fetched(4, 3)})
    assert (positions.passed(TP0), positions.passed(TP1)) == (10, 4)


def test_a_poll_that_is_not_ended_counts_as_cut_short() -> None:
    positions = sought(p0=0)
    positions.begin_poll()  # cancelled
    poll(positions, {}, {TP0: Fetched(10, None)})
    assert positions.passed(TP0) == 0


def test_a_poll_from_before_a_seek_passes_nothing() -> None:
    positions = sought(p0=0)
    begun = positions.begin_poll()
    positions.seek({TP0: 0})
    positions.deliver(TP0, 9)
    assert positions.end_poll(begun, {TP0: Fetched(10, 9)}) == {}
    assert positions.passed(TP0) == 0
    poll(positions, {TP0: 3}, {TP0: Fetched(4, 3)})
    assert positions.passed(TP0) == 4


def test_a_poll_that_begins_before_a_seek_and_is_cut_short_afterwards_passes_nothing() -> None:
    positions = sought(p0=0)
    begun = positions.begin_poll()
    positions.seek({TP0: 0})
    positions.end_poll(begun, {TP0: Fetched(10, 9)})
    poll(positions, {}, {TP0: Fetched(10, None)})
    assert positions.passed(TP0) == 0


def test_a_partition_without_a_commit_is_known_after_its_first_poll() -> None:
    positions = sought()
    assert poll(positions, {TP0: 7}, {TP0: Fetched(8, 7)}) == {}
    assert positions.passed(TP0) == 8
    positions.forget(TP0)
    assert positions.passed(TP0) is None
