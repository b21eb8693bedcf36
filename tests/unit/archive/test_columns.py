"""What records decode to survives the way through an archive's columns."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from encoder.data.contract.incoming_event import MAX_INT64, MAX_TIME_MS, MIN_INT64
from encoder.data.events import BehaviorEvent
from streams.archive.columns import ArchivedRecord, to_batch, to_outcomes
from streams.archive.schema import SCHEMA
from streams.engine.codec import Erasure, Outcome, Rejected, Several, Skipped, decode

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
numbers = st.integers(MIN_INT64, MAX_INT64) | st.floats(allow_nan=False, allow_infinity=False)
events = st.builds(
    BehaviorEvent,
    event_id=text,
    user_id=text,
    item_id=text,
    action=text,
    event_time_ms=st.integers(0, MAX_TIME_MS),
    session_id=st.none() | st.just("") | text,
    category=st.none() | text,
    price=st.none() | st.floats(0, allow_infinity=False),
    attributes=st.none() | st.dictionaries(text, text | numbers, max_size=3),
)
several = st.lists(events, min_size=2, max_size=4).map(
    lambda found: Several(found[0].event_id, found[0].user_id, tuple(found))
)
outcomes = st.lists(
    events
    | several
    | st.builds(Erasure, text)
    | st.builds(Rejected, reason=text, field=text)
    | st.builds(Skipped, reason=text, value=text),
    max_size=12,
)


@given(outcomes, st.integers(-1, 2**60))
def test_outcomes_come_back(found: list[Outcome], time_ms: int) -> None:
    records = [ArchivedRecord(3 * at + 5, time_ms + at) for at in range(len(found))]
    batch = to_batch("events", 2, records, found)
    assert batch.schema == SCHEMA
    batch.validate(full=True)
    assert to_outcomes(batch) == (records, found)


def test_a_row_says_what_its_record_is() -> None:
    event = decode(
        b"u",
        msgspec.json.encode(
            {"event_id": "e", "user_id": "u", "item_id": "i", "action": "a"}
            | {"event_time_ms": 7, "price": 5, "attributes": {"size": 1, "share": 1.0}, "more": 1}
        ),
        9,
    )
    assert isinstance(event, BehaviorEvent)
    found: list[Outcome] = [
        event,
        Several("e", "u", (event, event)),
        Erasure("v"),
        decode(None, b"{", 9),
        Skipped("action", "'login'"),
    ]
    batch = to_batch("events", 2, [ArchivedRecord(at, 9) for at in range(5)], found)
    columns = batch.to_pydict()
    assert columns["kind"] == ["event", "event", "event", "erasure", "rejected", "skipped"]
    assert columns["user_id"] == ["u", "u", "u", "v", None, None]
    assert columns["offset"] == [0, 1, 1, 2, 3, 4]
    assert columns["line"] == [0, 0, 1, 0, 0, 0]
    assert columns["attributes"][0] == '{"size":1,"share":1.0}'
    assert columns["field"] == [None, None, None, None, "value", "'login'"]
    assert columns["reason"][5] == "action"
    assert columns["item_id"] == ["i"] * 3 + [None] * 3
