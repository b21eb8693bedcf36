"""The short way from fields to an event gives what the judge gives, or leaves the fields to the judge."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from encoder.data.contract.judge import judge_fields
from streams.engine.payload.plain_event import event_at_once

EVENT = {"event_id": "e", "user_id": "u", "item_id": "i", "action": "view", "event_time_ms": 5}
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats()
    | st.sampled_from(["", "x", "x" * 513, "x" * 9000, "\ud800", "12.5", "й"])
    | st.binary(max_size=3)
)
NAMES = st.sampled_from(["", "a", "b", "\ud800", "n" * 513])
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys((*EVENT, "session_id", "category", "price", "other"), VALUES),
        "attributes": VALUES | st.dictionaries(NAMES, VALUES, max_size=3),
    },
)


@given(FIELDS)
def test_the_event_is_that_of_the_judge(changed: dict[str, Any]) -> None:
    fields = EVENT | changed
    event = event_at_once(fields)
    if event is not None:
        outcome, dropped = judge_fields(fields)
        assert event == outcome
        assert not dropped


def test_a_plain_event_takes_the_short_way() -> None:
    plain = EVENT | {"price": 2, "category": None, "attributes": {"a": "b", "c": 1, "d": 0.5}, "unknown": [b"x"]}
    assert event_at_once(plain) is not None
    assert event_at_once(EVENT | {"price": "2"}) is None, "the judge reads prices from texts"
