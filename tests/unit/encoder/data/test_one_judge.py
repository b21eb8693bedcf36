"""Training and the stream keep the same events with the same fields, whatever a producer writes."""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoder.data.contract.incoming_event import MAX_AHEAD_MS, MAX_TEXT, MAX_TIME_MS, MAX_VALUE_BYTES
from encoder.data.event_ids import UNNAMED, content_id
from encoder.data.events import BehaviorEvent
from encoder.data.loaders import load_log
from streams.commands.replay.log_records import LogRecords
from streams.engine.codec import Rejected, decode, decode_batch
from tests.support.processing import Record

FIELDS = BehaviorEvent.__struct_fields__
LONG = "x" * (MAX_TEXT + 1)
GOOD: dict[str, Any] = {
    "event_id": "e0",
    "user_id": "u0",
    "item_id": "i0",
    "action": "view",
    "event_time_ms": 1_700_000_000_000,
}
ODD: Sequence[Any] = [
    *(None, True, 0, -1, -17.94, 2.5, 10**400, 2**63, 2**63 - 1, -(2**63), -(2**63) - 1, 2**64),
    *(
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        "7",
        "7.0",
        "nan",
        "EUR 11.76",
        "2,06",
        "40.37 €",
        "1,234",
        "free",
    ),
    *("é" * MAX_TEXT, LONG, "\ud800", "\udce9", "a\0b", [], ["x"], {}, {"": 1}, {LONG: 1}, {"a": None, "b": 1}),
    *({"n": 2**63}, {"n": float("nan")}, {"n": float("inf")}, {"n": {"m": 1}}, {"n": False}, {"\ud800": 1}),
    *(MAX_TIME_MS, MAX_TIME_MS + 1, 1_700_000_000_000.0, "1700000000000", "x" * MAX_VALUE_BYTES),
]
odd = (
    st.sampled_from(ODD)
    | st.text(st.characters())
    | st.floats()
    | st.integers()
    | st.dictionaries(st.text(st.characters(), max_size=3), st.sampled_from(ODD), max_size=3)
)
records = st.lists(
    st.tuples(st.dictionaries(st.sampled_from(FIELDS), odd, max_size=3), st.sets(st.sampled_from([*GOOD]), max_size=1)),
    min_size=1,
    max_size=8,
)


def written(content: object, escaped: bool) -> bytes:
    """JSON as producers write it, also with NaN, and with bytes outside UTF-8 for halves of surrogate pairs."""
    return json.dumps(content, ensure_ascii=escaped).encode("utf-8", "surrogatepass")


def comparable(event: BehaviorEvent) -> dict[str, Any]:
    """The fields as an event log stores them: attributes as texts, and no attributes instead of empty ones."""
    attributes = {name: str(value) for name, value in (event.attributes or {}).items() if name != "item_name"}
    return {name: getattr(event, name) for name in FIELDS} | {"attributes": attributes}


def kept_by_training(path: Path, **options: Any) -> list[dict[str, Any]]:
    log, _ = load_log(path, **options)
    return [comparable(log_event) for log_event in log.events()]


def kept_by_the_stream(path: Path, **options: Any) -> list[dict[str, Any]]:
    now_ms = int(time.time() * 1000)
    sent = [Record(key, value, offset, now_ms) for offset, (key, value) in enumerate(LogRecords(path, **options))]
    events = [outcome for outcome in decode_batch(sent) if isinstance(outcome, BehaviorEvent)]
    return [comparable(event) for event in sorted(events, key=lambda event: event.event_time_ms)]


@settings(max_examples=300, deadline=None)
@given(records, st.booleans())
def test_json_lines_give_the_same_events_in_training_and_in_the_stream(changes: list[Any], escaped: bool) -> None:
    rows = []
    for number, (changed, left_out) in enumerate(changes):
        event = GOOD | {"event_id": f"e{number}"} | changed
        rows.append(written({name: event[name] for name in event if name not in left_out}, escaped))
    rows.append(written(GOOD | {"event_id": "last"}, escaped))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        path.write_bytes(b"\n".join(rows))
        expected = kept_by_the_stream(path)
        # The log leaves out repeats, which the stream finds later by event id.
        unique = {(event["user_id"], event["event_id"]): event for event in reversed(expected)}
        assert kept_by_training(path) == [e for e in expected if unique[e["user_id"], e["event_id"]] is e]


NESTED_COLUMNS = ",".join(f"{name}=at.some.{name}" for name in FIELDS if name not in ("attributes", "event_time_ms"))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(ODD), max_size=3), min_size=1, max_size=6),
    st.booleans(),
)
def test_mapped_json_lines_give_the_same_events_in_training_and_in_the_stream(changes: list[Any], nested: bool) -> None:
    events = [*(GOOD | {"event_id": f"e{n}"} | changed for n, changed in enumerate(changes)), GOOD]
    rows = [{"at": {"some": event}} for event in events] if nested else events
    nested_columns = NESTED_COLUMNS + ",event_time_ms=at.some.event_time_ms[ms],attributes.n=at.some.attributes.n"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        path.write_bytes(b"\n".join(written(row, escaped=True) for row in rows))
        options = {"columns": nested_columns if nested else "event_time_ms=event_time_ms[ms]"}
        expected = kept_by_the_stream(path, **options)
        unique = {(event["user_id"], event["event_id"]): event for event in reversed(expected)}
        assert kept_by_training(path, **options) == [e for e in expected if unique[e["user_id"], e["event_id"]] is e]
        assert expected


TEXTS = [text for text in ODD if isinstance(text, str) and not {"\ud800", "\0"} & set(text)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(TEXTS), max_size=3), min_size=1, max_size=6))
def test_rows_of_a_table_give_the_same_events_in_training_and_in_the_stream(changes: list[Any]) -> None:
    rows = [list(FIELDS)]
    for number, changed in enumerate([*changes, {}]):
        event = dict.fromkeys(FIELDS, "") | GOOD | {"event_id": f"e{number}"} | changed
        rows.append([str(event[name]) for name in FIELDS])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        path.write_bytes("\n".join("\t".join(row) for row in rows).encode("utf-8", "surrogateescape"))
        options = {"columns": "attributes.n=attributes"}
        expected = kept_by_the_stream(path, **options)
        unique = {(event["user_id"], event["event_id"]): event for event in reversed(expected)}
        assert kept_by_training(path, **options) == [e for e in expected if unique[e["user_id"], e["event_id"]] is e]
        assert expected


@pytest.mark.parametrize(
    ("ahead_ms", "is_kept"), [(MAX_AHEAD_MS - 60_000, True), (MAX_AHEAD_MS + 60_000, False), (10**14, False)]
)
def test_both_refuse_an_event_of_the_day_after_tomorrow(tmp_path: Path, ahead_ms: int, is_kept: bool) -> None:
    path = tmp_path / "log.jsonl"
    rows = [GOOD, GOOD | {"event_id": "e1", "event_time_ms": int(time.time() * 1000) + ahead_ms}]
    path.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    assert len(kept_by_training(path)) == len(kept_by_the_stream(path)) == 1 + is_kept


@pytest.mark.parametrize("spare_bytes", [0, -1])
def test_both_refuse_a_row_whose_record_is_larger_than_a_value_may_be(tmp_path: Path, spare_bytes: int) -> None:
    path = tmp_path / "log.csv"
    header = "user_id\titem_id\taction\tevent_time_ms\ttext\n"

    def write(length: int) -> int:
        """Write the file. Returns the size of the largest record, with UNNAMED in the place of the id, as judged."""
        rows = ("u\ti\tview\t1700000000000\tx\n", f"u\ti\tview\t1700000000000\t{'x' * length}\n")
        path.write_text(header + "".join(rows))
        largest = max(len(value) for _, value in LogRecords(path, columns="attributes.text=text"))
        return largest + len(UNNAMED) - len(content_id("csv", "u", "i", "view", 1_700_000_000_000) + "-2")

    spare = MAX_VALUE_BYTES - write(100)
    write(100 + spare - spare_bytes)
    options = {"columns": "attributes.text=text"}
    kept = kept_by_training(path, **options)
    assert len(kept) == (2 if spare_bytes == 0 else 1)
    assert kept == kept_by_the_stream(path, **options)


def test_a_row_that_is_unusable_under_the_mapping_is_never_an_event_of_the_stream(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join(map(msgspec.json.encode, [GOOD | {"product": "p"}, GOOD | {"event_id": "e1"}])))
    options = {"columns": "item_id=product"}
    assert [event["item_id"] for event in kept_by_training(path, **options)] == ["p"]
    assert kept_by_training(path, **options) == kept_by_the_stream(path, **options)
    key, value = list(LogRecords(path, **options))[1]
    assert isinstance(decode(key, value, GOOD["event_time_ms"]), Rejected)
    assert json.loads(value)["unusable_row"]["event_id"] == "e1"
