"""Public datasets in the formats of their publishers, with a few published lines each and an invalid line."""

import json
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from encoder.data.event_ids import content_id
from encoder.data.events import BehaviorEvent
from encoder.data.loaders import FORMATS, load_log
from encoder.errors import InputError
from streams.commands.replay.log_records import LogRecords
from streams.engine.codec import Rejected, decode

SHARED = Path(__file__).parents[5] / "shared/data"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "log.txt"
    path.write_text("\n".join([*lines, ""]))
    return path


def loaded(path: Path, name: str, kept: int, reasons: list[str]) -> list[BehaviorEvent]:
    """Load a file and return its events.

    Each row is either kept or counted with a reason. Replay sends rows that are kept as records that the codec accepts,
    and other rows as records that the codec rejects.
    """
    log, report = load_log(path, name)
    assert (report.kept, report.unparsable, report.duplicates) == (kept, len(reasons), 0)
    for example, reason in zip(report.examples, reasons, strict=True):
        assert reason in example
    events = list(log.events())
    assert len({event.event_id for event in events}) == len(events)
    assert all(event.event_id.startswith(made_id(name, event)) for event in events)
    taken = [decode(key, value, int(time.time() * 1000)) for key, value in LogRecords(path, name)]
    assert len(taken) == report.rows
    assert sum(isinstance(outcome, Rejected) for outcome in taken) == len(reasons)
    sent = {outcome.event_id: outcome for outcome in taken if isinstance(outcome, BehaviorEvent)}
    assert {event.event_id: _plain(event) for event in events} == {key: _plain(event) for key, event in sent.items()}
    return events


def made_id(name: str, event: BehaviorEvent) -> str:
    return content_id(name, event.user_id, event.item_id, event.action, event.event_time_ms)


def _plain(event: BehaviorEvent) -> dict[str, object]:
    fields = msgspec.to_builtins(event)
    return fields | {"attributes": {name: str(value) for name, value in (event.attributes or {}).items()}}


def test_yoochoose_clicks_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "1,2014-04-07T10:51:09.277Z,214536502,0",
        "1,2014-04-07T10:54:09.868Z,214536500,S",
        "2,2014-04-07T13:56:37.614Z,214662742,10",
        "2,2014-04-07,13:57:19.373Z,214662742,0",
        "2,2014-04-07T13:58:99.446Z,214825110,0",
        "3,2014-04-07T13:58:37.446Z,214825110,1234567890",
    )
    events = loaded(path, "yoochoose", 4, ["line 4: 5 instead of 4 columns", "line 5: time '2014-04-07T13:58:99.446Z'"])
    assert events[0] == BehaviorEvent(
        event_id=made_id("yoochoose", events[0]),
        user_id="1",
        item_id="214536502",
        action="click",
        event_time_ms=1_396_867_869_277,
        session_id="1",
    )
    assert [event.category for event in events] == [None, "S", "10", None]
    assert events[3].attributes == {"brand": "1234567890"}


def test_yoochoose_purchases_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "420374,2014-04-06T18:44:58.314Z,214537888,12462,1",
        "420374,2014-04-06T18:44:58.325Z,214537850,0,0",
        "281626,2014-04-06T09:40:13.032Z,214535653,many,1",
    )
    bad, first, last = loaded(path, "yoochoose", 3, [])
    assert (bad.item_id, bad.price) == ("214535653", None)
    assert (first.item_id, first.action, first.price, first.attributes) == (
        "214537888",
        "purchase",
        12462.0,
        {"quantity": "1"},
    )
    assert (last.price, last.attributes) == (None, None)


def test_prepared_yoochoose_files_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, "SessionId\tItemId\tTime", "3\t214716935\t1396437466.94", "3\t214832672\tsoon", "4\t1\t5\t6")
    (event,) = loaded(path, "yoochoose", 1, ["line 3: time 'soon' is not a number of seconds", "line 4: 4 instead of"])
    assert (event.user_id, event.session_id) == ("3", "3")
    assert (event.item_id, event.action, event.event_time_ms) == ("214716935", "click", 1_396_437_466_940)


def test_retailrocket_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "timestamp,visitorid,event,itemid,transactionid",
        "1433221332117,257597,view,355908,",
        "1433222276276,599528,transaction,356475,4000",
        "1433221332.5,257597,addtocart,355908,",
        "1433223236124,121688,addtocart,15689,",
    )
    events = loaded(path, "retailrocket", 3, ["line 4: time '1433221332.5' is not a whole number of milliseconds"])
    assert [(event.user_id, event.item_id, event.action) for event in events] == [
        ("257597", "355908", "view"),
        ("599528", "356475", "transaction"),
        ("121688", "15689", "addtocart"),
    ]
    assert events[1].event_time_ms == 1_433_222_276_276
    assert [event.attributes for event in events] == [None, {"transaction_id": "4000"}, None]


@pytest.mark.parametrize(
    "header", ["sessionId;userId;itemId;timeframe;eventdate", "session_id;user_id;item_id;timeframe;eventdate"]
)
def test_diginetica_views_are_read(tmp_path: Path, header: str) -> None:
    path = write(
        tmp_path,
        header,
        "1;NA;81766;526309;2016-05-09",
        "1;NA;31331;1031018;2016-05-09",
        "5;1;32118;243569;2016-05-09",
        "5;1;32118;243569;09.05.2016",
    )
    events = loaded(path, "diginetica", 3, ["line 5: time '09.05.2016' is not a date or time of ISO 8601"])
    assert [(event.user_id, event.session_id, event.item_id) for event in events] == [
        ("1", "5", "32118"),
        ("session-1", "1", "81766"),
        ("session-1", "1", "31331"),
    ]
    assert events[1].event_time_ms == 1_462_752_000_000 + 526_309
    assert {event.action for event in events} == {"view"}


def test_diginetica_purchases_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path, "sessionId;userId;timeframe;eventdate;ordernumber;itemId", "150;18278;17100868;2016-05-06;16421;25911"
    )
    (event,) = loaded(path, "diginetica", 1, [])
    assert (event.action, event.item_id) == ("purchase", "25911")
    assert event.event_time_ms == 1_462_492_800_000 + 17_100_868


def test_taobao_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "1,2268318,2520377,pv,1511544070",
        "1,2333346,2520771,fav,1511561733",
        "1,2576651,149192,buy,-1511572885",  # the published file has such times
        "1,3830808,4181361,cart",
    )
    events = loaded(
        path, "taobao", 2, ["line 3: event_time_ms is -1511572885000: Expected `int` >= 0", "line 4: 4 instead of"]
    )
    assert events[0] == BehaviorEvent(
        event_id=made_id("taobao", events[0]),
        user_id="1",
        item_id="2268318",
        action="pv",
        event_time_ms=1_511_544_070_000,
        category="2520377",
    )
    assert events[1].action == "fav"


@pytest.mark.parametrize(
    "lines",
    [
        ["userId,movieId,rating,timestamp", "1,2,3.5,1112486027", "1,29,3.5,1112484676", "1,32,4,soon"],
        ["1::2::3.5::1112486027", "1::29::3.5::1112484676", "1::32::4::soon"],
        ["1\t2\t3.5\t1112486027", "1\t29\t3.5\t1112484676", "1\t32\t4\tsoon"],
    ],
)
def test_movielens_is_read(tmp_path: Path, lines: list[str]) -> None:
    reason = f"line {len(lines)}: time 'soon' is not a number of seconds"
    first, second = loaded(write(tmp_path, *lines), "movielens", 2, [reason])
    assert (first.item_id, second.item_id) == ("29", "2")  # in order of time, unlike the file
    assert (second.user_id, second.action, second.attributes) == ("1", "rate", {"rating": "3.5"})
    assert second.event_time_ms == 1_112_486_027_000


def test_a_rating_that_is_no_finite_number_does_not_cost_the_event(tmp_path: Path) -> None:
    path = write(tmp_path, *(f"1::2::{rating}::1112486027" for rating in ("5", "nan", "inf", "good")))
    events = loaded(path, "movielens", 4, [])
    assert [event.attributes for event in events] == [{"rating": "5.0"}, None, None, {"rating": "good"}]
    assert "without attributes.rating (not finite): 1 events" in str(load_log(path, "movielens")[1])


def test_a_line_of_otto_is_a_session_of_many_events(tmp_path: Path) -> None:
    events = [
        '{"aid":59625,"ts":1661724000278,"type":"clicks"}',
        '{"aid":59626,"type":"clicks"}',
        '{"aid":1142000,"ts":1661724000378,"type":"carts"}',
        '{"aid":7,"ts":99661724000378,"type":"orders"}',
    ]
    path = write(
        tmp_path,
        f'{{"session":12899779,"events":[{events[0]}]}}',
        f'{{"session":12899780,"events":[{", ".join(events)}]}}',
        '{"session":12899781}',
        '{"session":12899782,"events":[]}',
    )
    reasons = [
        "line 2: event 2: Object missing required field `ts`",
        "line 2: event_time_ms 99661724000378 is more than a day ahead",
        "line 3: Object missing required field `events`",
        "line 4: the session has no events",
    ]
    found = loaded(path, "otto", 3, reasons)
    assert [(event.user_id, event.item_id, event.action) for event in found] == [
        ("12899779", "59625", "clicks"),
        ("12899780", "59625", "clicks"),
        ("12899780", "1142000", "carts"),
    ]
    bad_key, bad_value = list(LogRecords(path, "otto"))[2]
    assert bad_key == b"12899780"
    assert json.loads(bad_value) == {"session": 12899780, "events": [{"aid": 59626, "type": "clicks"}]}


def test_otto_sessions_may_cross_batches(tmp_path: Path) -> None:
    session = ",".join(f'{{"aid":{item},"ts":1661724000278,"type":"clicks"}}' for item in range(50))
    lines = [f'{{"session":{number},"events":[{session}]}}' for number in range(400)]
    log, report = load_log(write(tmp_path, *lines), "otto")
    assert (report.kept, report.rows) == (20_000, 20_000)
    assert np.bincount(log.user).tolist() == [50] * 400


@pytest.mark.parametrize("name", ["diginetica", "movielens", "rees46", "retailrocket"])
def test_an_error_shows_the_header_of_a_file_in_another_format(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, "Session,Item", "1,2")
    with pytest.raises(InputError, match=r"does not begin as a .* log: found 'Session,Item'"):
        load_log(path, name)


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"parquet"}))
def test_an_empty_file_has_no_events_or_lacks_its_header(tmp_path: Path, name: str) -> None:
    path = tmp_path / "empty"
    path.write_bytes(b"")
    if name in ("jsonl", "otto", "taobao", "yoochoose"):
        assert load_log(path, name)[1].rows == 0
        assert list(LogRecords(path, name)) == []
    else:
        with pytest.raises(InputError, match=r"does not begin as|has no column"):
            load_log(path, name)


@pytest.mark.parametrize(("name", "clicks", "sessions"), [("train_full", 70_278, 17_794), ("test", 13_568, 3_416)])
def test_real_yoochoose_files_are_read(name: str, clicks: int, sessions: int) -> None:
    path = SHARED / f"yoochoose/{name}.tsv.gz"
    if not path.exists():
        pytest.skip(f"no log at {path}; it is not part of the project")
    log, report = load_log(path, "yoochoose")
    assert (report.kept, report.unparsable, report.duplicates) == (clicks, 0, 0)
    assert len(log.user_ids) == sessions
    assert log.actions == ["click"]
    assert 1_396_310_000_000 < log.time_ms[0] <= log.time_ms[-1] < 1_397_010_000_000
