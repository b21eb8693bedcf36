"""The merge of partitions by timestamp: one order for any blocks that a consumer receives."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.monitor.partition_merge import BUFFER_RECORDS, PartitionMerge

Block = tuple[int, int]  # (partition, number of records)
blocks = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9)), max_size=60)


def merged(partitions: list[list[int]], received: list[Block]) -> list[tuple[int, int]]:
    """(partition, index) of each record as the merge releases the records of three partitions."""
    merge, position, released = PartitionMerge(), [0, 0, 0], []
    for partition, count in [*received, (0, 99), (1, 99), (2, 99)]:
        records = [
            SimpleNamespace(timestamp=t, name=(partition, i))
            for i, t in enumerate(partitions[partition])
            if position[partition] <= i < position[partition] + count
        ]
        position[partition] += len(records)
        merge.push(partition, records)
        lagging = [p for p in range(3) if position[p] < len(partitions[p])]
        assert merge.full(lagging) == []
        released += [r.name for r in merge.release(lagging)]
    assert merge.buffered == 0
    return released


@given(st.lists(st.lists(st.integers(0, 50), max_size=40), min_size=3, max_size=3), blocks)
def test_merging_gives_one_order_for_any_blocks(partitions: list[list[int]], received: list[Block]) -> None:
    order = merged(partitions, received)
    running = [list(np.maximum.accumulate(p)) if p else [] for p in partitions]
    assert order == sorted(order, key=lambda name: (running[name[0]][name[1]], name))
    assert len(order) == sum(map(len, partitions))


def test_a_full_partition_waits_unless_the_others_wait_for_that_partition() -> None:
    merge = PartitionMerge()
    merge.push(0, [SimpleNamespace(timestamp=t) for t in range(BUFFER_RECORDS)])
    assert merge.release(lagging=[0, 1]) == []
    assert merge.full(lagging=[0, 1]) == [0]
    merge.push(1, [SimpleNamespace(timestamp=10**6) for _ in range(BUFFER_RECORDS)])
    assert merge.full(lagging=[0, 1]) == [1], "partition 1 waits for partition 0"
    assert len(merge.release(lagging=[0, 1])) == BUFFER_RECORDS - 1
    assert merge.full(lagging=[0, 1]) == [1]
    assert len(merge.release(lagging=[])) == BUFFER_RECORDS + 1
    assert merge.full(lagging=[]) == []


def test_the_next_offset_is_that_of_the_first_record_that_waits() -> None:
    merge = PartitionMerge()
    assert merge.next_offset((0, 0)) is None
    merge.push((0, 0), [SimpleNamespace(timestamp=5, offset=7), SimpleNamespace(timestamp=9, offset=8)])
    merge.push((0, 1), [SimpleNamespace(timestamp=8, offset=3)])
    assert len(merge.release([(0, 1)])) == 1
    assert merge.next_offset((0, 0)) == 8
    merge.release([])
    assert merge.next_offset((0, 0)) is None
