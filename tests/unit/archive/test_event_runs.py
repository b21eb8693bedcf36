"""The order of a log's events, and which of them are left out."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.data.event_ids import UNNAMED
from encoder.data.events import BehaviorEvent
from streams.commands.archive.log import event_runs
from streams.commands.archive.log.event_runs import EventRuns, LeftOut
from streams.commands.archive.log.identity import identities_by_content, identities_by_id

PARTITIONS = 3
events = st.builds(
    BehaviorEvent,
    event_id=st.sampled_from([*"abcdefgh", UNNAMED]),
    user_id=st.sampled_from(["ann", "bob", "cid", "dan"]),
    item_id=st.sampled_from(["i1", "i2"]),
    action=st.just("view"),
    event_time_ms=st.integers(0, 12),
    session_id=st.sampled_from([None, "s"]),
    category=st.none(),
    price=st.sampled_from([None, 1.5]),
    attributes=st.sampled_from([None, {"brand": "x", "size": 4}]),
)
logs = st.lists(events, max_size=60)


@pytest.fixture(autouse=True, scope="module")
def _small_runs() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_runs, "RUN_EVENTS", 7)
        patch.setattr(event_runs, "CHUNK_EVENTS", 3)
        patch.setattr(event_runs, "YIELDED_ROWS", 4)
        yield


def partition_of(user_id: str) -> int:
    return ord(user_id[0]) % PARTITIONS


def identity(event: BehaviorEvent) -> tuple[Any, ...]:
    if event.event_id == UNNAMED:
        return (event.user_id, event.item_id, event.action, event.event_time_ms)
    return (event.user_id, event.event_id)


def sort(
    log: Sequence[BehaviorEvent], topic: Sequence[BehaviorEvent]
) -> tuple[dict[int, list[dict[str, Any]]], LeftOut]:
    with TemporaryDirectory() as folder:
        runs = EventRuns(Path(folder), "csv", partition_of, lambda user_id: f"hidden-{user_id}")
        for at in range(0, len(log), 5):
            runs.add(log[at : at + 5])
        left_out = runs.finish(np.unique(identities_by_id(topic)), np.unique(identities_by_content(topic)))
        found = {p: [row for table in runs.tables(p) for row in table.to_pylist()] for p in range(PARTITIONS)}
        assert {p: runs.counts[p] for p in found} == {p: len(rows) for p, rows in found.items()}
        runs.close()
    return found, left_out


@given(logs, logs)
def test_each_event_once_by_partition_and_time(log: list[BehaviorEvent], topic: list[BehaviorEvent]) -> None:
    found, left_out = sort(log, topic)
    in_topic = {(one.user_id, one.event_id) for one in topic}
    in_topic |= {(one.user_id, one.item_id, one.action, one.event_time_ms) for one in topic}
    kept: list[BehaviorEvent] = []
    seen: set[tuple[Any, ...]] = set()
    for one in log:
        if identity(one) not in in_topic and (one.event_id == UNNAMED or identity(one) not in seen):
            kept.append(one)
        seen.add(identity(one))
    assert left_out.in_topic == sum(identity(one) in in_topic for one in log)
    assert left_out.duplicates == len(log) - len(kept) - left_out.in_topic
    for partition, rows in found.items():
        of_partition = [one for one in kept if partition_of(one.user_id) == partition]
        expected = sorted(of_partition, key=lambda one: one.event_time_ms)
        fields = ("item_id", "action", "event_time_ms", "session_id", "price")
        assert [[row[name] for name in fields] for row in rows] == [
            [getattr(one, name) for name in fields] for one in expected
        ]
        assert [row["user_id"] for row in rows] == [f"hidden-{one.user_id}" for one in expected]
        assert [row["attributes"] for row in rows] == [
            None if one.attributes is None else '{"brand":"x","size":4}' for one in expected
        ]
        assert all(row["record_timestamp_ms"] == row["event_time_ms"] for row in rows)
        assert [row["event_id"] for row, one in zip(rows, expected, strict=True) if one.event_id != UNNAMED] == [
            one.event_id for one in expected if one.event_id != UNNAMED
        ]
        made = [
            (row["user_id"], row["event_id"])
            for row, one in zip(rows, expected, strict=True)
            if one.event_id == UNNAMED
        ]
        assert len(set(made)) == len(made), "equal events without an id get different ids"
        assert not any("ann" in event_id or event_id == UNNAMED for _, event_id in made)


def test_a_sorted_log_keeps_one_chunk_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits between two chunks are the events of the time at which the next chunk begins."""
    log = [
        BehaviorEvent(event_id=str(n), user_id="ann", item_id="i", action="view", event_time_ms=n) for n in range(100)
    ]
    waiting: list[int] = []
    concat = event_runs.pa.concat_tables

    def counted(tables: Sequence[Any]) -> Any:
        waiting.append(sum(table.num_rows for table in tables))
        return concat(tables)

    monkeypatch.setattr(event_runs.pa, "concat_tables", counted)
    found, _ = sort(log, [])
    assert [row["event_id"] for row in found[partition_of("ann")]] == [str(n) for n in range(100)]
    assert max(waiting) <= 2 * event_runs.CHUNK_EVENTS
