"""The order and the ids with which `thalweg replay` sends the rows of a log."""

import json
import os
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from encoder.data.contract.judge import judge_value
from encoder.data.events import BehaviorEvent
from encoder.data.loaders import load_log
from encoder.data.simulator import Shop, faulty_records
from encoder.errors import InputError
from streams.commands.replay.log_records import LogRecords
from tests.support.mapped.segment import calls

Lines = list[str]
DAY_S = 1_569_888_000  # 2019-10-01


def shuffled_times(count: int = 300) -> list[int]:
    """Return times in seconds, out of order. Several of them are equal."""
    return (DAY_S + np.random.default_rng(3).permutation(count) // 3).tolist()


def retailrocket(times: list[int]) -> Lines:
    rows = [f"{time}000,{at % 7},view,{at},,".removesuffix(",") for at, time in enumerate(times)]
    return ["timestamp,visitorid,event,itemid,transactionid", *rows]


def diginetica(times: list[int]) -> Lines:
    rows = [f"{at % 7};NA;{at};{(time - DAY_S) * 1000};2019-10-01" for at, time in enumerate(times)]
    return ["sessionId;userId;itemId;timeframe;eventdate", *rows]


def movielens(times: list[int]) -> Lines:
    return ["userId,movieId,rating,timestamp", *(f"{at % 7},{at},3.5,{time}" for at, time in enumerate(times))]


def csv(times: list[int]) -> Lines:
    rows = [f"u{at % 7},i{at},view,{time}000" for at, time in enumerate(times)]
    return ["user_id,item_id,action,event_time_ms", *rows]


def otto(times: list[int]) -> Lines:
    """Return sessions, each with its events. A session begins before the one before it has ended."""
    return [
        json.dumps(
            {
                "session": user,
                "events": [
                    {"aid": at, "ts": time * 1000, "type": "clicks"}
                    for at, time in sorted(enumerate(times), key=lambda event: event[1])
                    if at % 7 == user
                ],
            }
        )
        for user in range(7)
    ]


def write(folder: Path, lines: Lines, name: str = "log.txt") -> Path:
    path = folder / name
    path.write_text("\n".join([*lines, ""]))
    return path


@pytest.mark.parametrize("lines_of", [retailrocket, diginetica, movielens, csv, otto])
@pytest.mark.parametrize("run_records", [40, 1_000])
def test_published_logs_are_sent_in_the_order_in_which_training_reads_them(
    lines_of: Callable[[list[int]], Lines], run_records: int, tmp_path: Path
) -> None:
    name = lines_of.__name__
    path = write(tmp_path, lines_of(shuffled_times()))
    log, _ = load_log(path, name)
    records = LogRecords(path, name, run_records=run_records)
    sent = [json.loads(value) for _, value in records]
    trained = list(log.events())
    assert [(event["event_id"], event["event_time_ms"]) for event in sent] == [
        (event.event_id, event.event_time_ms) for event in trained
    ]
    assert len({event["event_id"] for event in sent}) == 300
    assert records.moved > 100
    assert records.late == 0
    rest = [json.loads(value) for _, value in LogRecords(path, name, rest=0.5, run_records=run_records)]
    assert rest == sent[150:]


def test_a_log_in_order_is_sent_as_it_stands(tmp_path: Path) -> None:
    records = LogRecords(write(tmp_path, csv(sorted(shuffled_times()))), "csv", run_records=40)
    assert [json.loads(value)["item_id"] for _, value in records] == [f"i{at}" for at in range(300)]
    assert records.moved == 0


def test_a_row_that_is_no_event_stays_behind_the_row_before_it(tmp_path: Path) -> None:
    lines = ["user_id,item_id,action,event_time_ms", "no event", "u,a,view,9", "broken", "u,b,view,5", "u,c,view,9"]
    sent = [value for _, value in LogRecords(write(tmp_path, lines), "csv", run_records=2)]
    assert sent[0] == b"no event"
    assert [json.loads(value)["item_id"] for value in (sent[1], sent[2], sent[4])] == ["b", "a", "c"]
    assert sent[3] == b"broken"


def test_json_lines_keep_late_events_and_count_them(tmp_path: Path) -> None:
    values = [value for _, value in faulty_records(Shop(5, 40, 20).simulate(600), late=0.1, seed=5)]
    path = tmp_path / "shop.jsonl"
    path.write_bytes(b"\n".join(values) + b"\n")
    records = LogRecords(path)
    assert [value for _, value in records] == values
    latest: dict[str, int] = {}
    late = 0
    for event in map(json.loads, values):
        late += event["event_time_ms"] < latest.get(event["user_id"], 0)
        latest[event["user_id"]] = max(latest.get(event["user_id"], 0), event["event_time_ms"])
    assert records.late == late > 10
    assert records.moved == 0


def event_ids(path: Path, name: str) -> list[str]:
    return [json.loads(value)["event_id"] for _, value in LogRecords(path, name)]


@pytest.mark.parametrize("lines_of", [retailrocket, diginetica, movielens, csv, otto])
def test_two_files_of_one_format_share_no_ids_and_the_same_file_has_the_same_ids(
    lines_of: Callable[[list[int]], Lines], tmp_path: Path
) -> None:
    name = lines_of.__name__
    times = sorted(shuffled_times())
    first = event_ids(write(tmp_path, lines_of(times), "first"), name)
    second = event_ids(write(tmp_path, lines_of([time + 600 for time in times]), "second"), name)
    assert len({*first, *second}) == 600
    assert event_ids(write(tmp_path, lines_of(times), "again"), name) == first


def test_parquet_files_share_no_ids(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow comes with the `train` extra")
    parquet = pytest.importorskip("pyarrow.parquet")
    for name, start in (("a", 1_000), ("b", 5_000)):
        rows = [{"user_id": "u", "item_id": "i", "action": "view", "event_time_ms": start - n} for n in range(5)]
        parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / f"{name}.parquet")
    sent = [json.loads(value) for name in "ab" for _, value in LogRecords(tmp_path / f"{name}.parquet")]
    assert len({event["event_id"] for event in sent}) == 10
    assert all(one["event_time_ms"] < other["event_time_ms"] for one, other in pairwise(sent))


def test_an_event_that_two_files_share_has_one_id_and_equal_events_of_one_file_have_several(tmp_path: Path) -> None:
    header = "user_id,item_id,action,event_time_ms,price"
    first = event_ids(write(tmp_path, [header, "u,a,view,7,1", "u,b,view,7,2", "u,a,view,7,3"], "first"), "csv")
    second = event_ids(write(tmp_path, [header, "u,c,view,1,1", "u,a,view,7,1"], "second"), "csv")
    assert len(set(first)) == 3
    assert first[2] == f"{first[0]}-2"
    assert second[1] == first[0]
    spread = ["u,a,view,7,1", "u,a,view,5,1", "u,a,view,7,3"]  # equal events with another event between them
    assert len(set(event_ids(write(tmp_path, [header, *spread], "spread"), "csv"))) == 3


def test_two_simulated_logs_share_no_ids() -> None:
    one, other = (Shop(7, 40, users).simulate(400) for users in (20, 30))
    assert not {event.event_id for event in one.events()} & {event.event_id for event in other.events()}


@pytest.mark.parametrize("part", [{"first": 0.5}, {"rest": 0.5}])
def test_a_part_of_a_pipe_is_refused_because_a_pipe_is_read_once(part: dict[str, float]) -> None:
    reader, writer = os.pipe()
    os.write(writer, "\n".join(csv(shuffled_times(9))).encode())
    os.close(writer)
    try:
        with pytest.raises(InputError, match="no file that can be read twice: write the log to a file first"):
            list(LogRecords(f"/dev/fd/{reader}", "csv", None, **part))
        assert len(list(LogRecords(f"/dev/fd/{reader}", "csv"))) == 9
    finally:
        os.close(reader)


def test_a_log_of_a_foreign_topic_is_sent_as_events_of_the_contract_in_order_of_time(tmp_path: Path) -> None:
    log = calls(300, 20, 50, foreign=0.1)
    random.Random(3).shuffle(log)
    path = tmp_path / "calls.jsonl"
    path.write_bytes(b"".join(call.value + b"\n" for call in log))
    records = LogRecords(path, mapping="segment", run_records=40)
    sent = list(records)
    events = [(key, event) for key, value in sent if isinstance(event := judge_value(value).outcome, BehaviorEvent)]
    assert len(events) == sum(call.events or 0 for call in log)
    assert len(sent) - len(events) == sum(call.events is None for call in log) > 5
    assert records.skipped == sum(call.events == 0 for call in log) > 5
    times = [event.event_time_ms for _, event in events]
    assert times == sorted(times)
    assert all(key == event.user_id.encode() for key, event in events)
    assert len({event.event_id for _, event in events}) == len(events)
    trained, _ = load_log(path, mapping="segment")
    assert [event.event_id for event in trained.events()] == [event.event_id for _, event in events]
    rest = list(LogRecords(path, mapping="segment", rest=0.5))
    assert 0 < len(rest) < len(sent)
