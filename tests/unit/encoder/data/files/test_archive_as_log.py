"""The archive of a topic as an event log: the rows of events, and no other rows."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from encoder.data.events import BehaviorEvent
from encoder.data.loaders import load_log
from encoder.data.loaders.tables.archive import archive_files
from encoder.errors import InputError

NAME = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        ("kind", NAME),
        ("event_id", pa.string()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("action", NAME),
        ("event_time_ms", pa.int64()),
        ("session_id", pa.string()),
        ("category", pa.string()),
        ("price", pa.float64()),
        ("attributes", pa.string()),
        ("topic", NAME),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("line", pa.int32()),
        ("record_timestamp_ms", pa.int64()),
        ("field", pa.string()),
        ("reason", pa.string()),
    ]
)
NOW_MS = 1_790_000_000_000


def event(offset: int, partition: int, **changes: Any) -> dict[str, Any]:
    of_event = {
        "kind": "event",
        "event_id": f"e{partition}-{offset}",
        "user_id": f"u{partition}",
        "item_id": f"i{offset}",
        "action": "view",
        "event_time_ms": NOW_MS + offset * 10 + partition,
    }
    return of_event | position(offset, partition) | changes


def position(offset: int, partition: int) -> dict[str, Any]:
    return {
        "topic": "t",
        "partition": partition,
        "offset": offset,
        "line": 0,
        "record_timestamp_ms": NOW_MS + offset * 10,
    }


def write(folder: Path, partition: int, rows: list[dict[str, Any]], *, listed: bool = True) -> Path:
    """Write one segment of an archive. Without `listed`, the archiving was stopped before it described the segment."""
    (folder / "archive.json").write_text(json.dumps({"format": 1, "topic": "t", "topic_id": "x", "decoder": "d"}))
    span = f"{rows[0]['offset']:020d}-{rows[-1]['offset']:020d}"
    path = folder / f"events/day=2026-09-21/partition={partition}/{span}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, compression="zstd")
    description = folder / f"segments/partition={partition}/{span}.json"
    description.parent.mkdir(parents=True, exist_ok=True)
    if listed:
        file = {"path": str(path.relative_to(folder)), "rows": len(rows), "bytes": path.stat().st_size}
        segment = {"first": rows[0]["offset"], "last": rows[-1]["offset"], "files": [file]}
        description.write_text(json.dumps(segment))
    return description


def others(partition: int) -> list[dict[str, Any]]:
    """Return rows of records that are no events."""
    return [
        {"kind": "rejected", "field": "price", "reason": "a reason"} | position(3, partition),
        {"kind": "skipped", "field": "x", "reason": "action"} | position(4, partition),
        {"kind": "erasure", "user_id": "u9"} | position(5, partition),
    ]


@pytest.mark.parametrize("for_model", [False, True])
def test_an_archive_is_the_log_of_its_events(tmp_path: Path, for_model: bool) -> None:
    plain = [event(offset, partition) for partition in range(2) for offset in range(3)]
    for partition in range(2):
        write(tmp_path, partition, [*plain[partition * 3 : partition * 3 + 3], *others(partition)])
    log, report = load_log(tmp_path, for_model=for_model)
    in_order = sorted(plain, key=lambda row: row["event_time_ms"])
    found = [(one.user_id, one.item_id, one.action, one.event_time_ms) for one in log.events()]
    assert found == [(row["user_id"], row["item_id"], row["action"], row["event_time_ms"]) for row in in_order]
    assert (report.rows, report.kept, report.unparsable) == (6, 6, 0)


def test_optional_fields_and_attributes_come_back(tmp_path: Path) -> None:
    attributes = {"brand": "acme", "size": 7, "weight": 0.5}
    row = event(0, 0, session_id="s", category="shoes", price=9.5, attributes=json.dumps(attributes))
    write(tmp_path, 0, [row, event(1, 0)])
    log, _ = load_log(tmp_path)
    first, second = log.events()
    assert first == BehaviorEvent(
        event_id="e0-0",
        user_id="u0",
        item_id="i0",
        action="view",
        event_time_ms=NOW_MS,
        session_id="s",
        category="shoes",
        price=9.5,
        attributes={"brand": "acme", "size": "7", "weight": "0.5"},  # A log keeps the attributes as texts.
    )
    assert (second.attributes, second.price) == (None, None)


def test_a_file_that_no_segment_lists_is_not_read(tmp_path: Path) -> None:
    write(tmp_path, 0, [event(0, 0)])
    write(tmp_path, 1, [event(0, 1)], listed=False)
    log, _ = load_log(tmp_path)
    assert [one.user_id for one in log.events()] == ["u0"]


def test_a_file_of_erasures_alone_holds_no_event(tmp_path: Path) -> None:
    write(tmp_path, 0, [event(0, 0)])
    write(tmp_path, 1, others(1))
    log, report = load_log(tmp_path)
    assert (len(log.time_ms), report.rows) == (1, 1)


def test_an_unreadable_description_is_named(tmp_path: Path) -> None:
    description = write(tmp_path, 0, [event(0, 0)])
    description.write_text("{")
    with pytest.raises(InputError, match=r"0{20}-0{20}\.json does not describe a segment"):
        load_log(tmp_path)


def test_the_newer_files_are_those_of_segments_behind_an_offset(tmp_path: Path) -> None:
    write(tmp_path, 0, [event(offset, 0) for offset in range(3)])
    write(tmp_path, 0, [event(offset, 0) for offset in range(3, 5)])
    write(tmp_path, 1, [event(0, 1)])
    newer = archive_files(tmp_path, {0: 3})
    assert [path.stem[:20].lstrip("0") or "0" for path in newer] == ["3", "0"]
    assert [path.parent.name for path in newer] == ["partition=0", "partition=1"]
