"""The mapping of the contract to itself keeps what the contract keeps, whatever a producer writes."""

import json
from typing import Any

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from encoder.data.contract.incoming_event import MAX_TEXT, MAX_TIME_MS, MAX_VALUE_BYTES, IncomingEvent
from encoder.data.contract.judge import DroppedField, judge_fields, judge_value, read_object
from encoder.data.contract.rejection import Rejection
from encoder.data.mapping import SourceRecord, load_mapping

CONTRACT = load_mapping("contract")
GOOD: dict[str, Any] = {
    "event_id": "e0",
    "user_id": "u0",
    "item_id": "i0",
    "action": "view",
    "event_time_ms": 1_700_000_000_000,
}
LONG = "x" * (MAX_TEXT + 1)
# A mapping turns numbers into ids, and texts and fractions into times, which the contract refuses. Others are here.
TEXTS = [None, True, 0.5, "", "7", "ключ", "\ud800", LONG, [], ["a"], {}, {"a": 1}]
TIMES = [None, True, 0, -1, MAX_TIME_MS, MAX_TIME_MS + 1, 2**63, 10**400, [], {}, "", "soon"]
NUMBERS = [
    *(None, True, 0, -1, -0.0, 2.5, 10**400, 2**63, 2**63 - 1, -(2**63) - 1, 1e308),
    *(float("nan"), float("inf"), float("-inf"), "", "7", "2,06", "EUR 11.76", "1,234", "-3", [], {}, "\ud800"),
    *("€" * 300, "x" * 9_000),
]
ATTRIBUTES = st.dictionaries(st.sampled_from(["brand", "", "b" * 600, "\ud800", "ключ"]), st.sampled_from(NUMBERS))
FIELDS = {
    **{name: st.sampled_from(TEXTS) for name in ("event_id", "user_id", "item_id", "action", "session_id", "category")},
    "event_time_ms": st.sampled_from(TIMES),
    "price": st.sampled_from(NUMBERS),
    "attributes": ATTRIBUTES | st.sampled_from(NUMBERS),
    "unknown": st.sampled_from(NUMBERS),
}
MUTATIONS = st.lists(st.sampled_from(sorted(FIELDS)).flatmap(lambda name: st.tuples(st.just(name), FIELDS[name])))


def decoded(value: bytes) -> Any:
    """As the reader of JSON decodes a value: strictly where that is possible."""
    try:
        return msgspec.json.decode(value)
    except (ValueError, RecursionError):
        return read_object(value)


def without_empty(event: IncomingEvent) -> IncomingEvent:
    """No attributes are an empty object in an event that breaks no bound, and None in another event."""
    return msgspec.structs.replace(event, attributes=event.attributes or None)


@settings(max_examples=300, deadline=None)
@given(mutations=MUTATIONS, removed=st.sets(st.sampled_from(sorted(GOOD)), max_size=1))
@example(mutations=[("attributes", {"brand": float("inf")})], removed=set())
@example(mutations=[("price", float("nan"))], removed=set())
@example(mutations=[("price", "-3")], removed=set())
@example(mutations=[("attributes", float("inf"))], removed=set())
@example(mutations=[("category", "\ud800")], removed=set())
@example(mutations=[("attributes", {"\ud800": 0})], removed=set())
@example(mutations=[("attributes", {"brand": "\ud800"})], removed=set())
@example(mutations=[("attributes", {}), ("price", "7")], removed=set())
def test_the_mapping_of_the_contract_agrees_with_the_contract(
    mutations: list[tuple[str, Any]], removed: set[str]
) -> None:
    fields = {**GOOD, **dict(mutations)}
    value = json.dumps({name: one for name, one in fields.items() if name not in removed}).encode()
    by_contract, lost_by_contract = judge_value(value)
    lost: list[DroppedField] = []
    record = SourceRecord(decoded(value), b"u0", (), 1_700_000_000_000)
    judged = CONTRACT.judge(record, lost)
    read = CONTRACT.read(record)
    if isinstance(by_contract, Rejection):
        assert isinstance(judged, Rejection)
        assert judged.field == by_contract.field or {judged.field, by_contract.field} <= set(GOOD)
        assert isinstance(read, Rejection) or isinstance(judge_fields(read[0]).outcome, Rejection)
        return
    assert isinstance(judged, tuple)
    assert list(map(without_empty, judged)) == [without_empty(by_contract)]
    assert lost == list(lost_by_contract)
    assert isinstance(read, tuple)
    again = judge_fields(read[0]).outcome
    assert isinstance(again, IncomingEvent)
    assert without_empty(again) == without_empty(by_contract)


def test_an_event_that_is_too_large_is_rejected_as_in_the_contract() -> None:
    large = {**GOOD, "attributes": {f"name{number}": "x" * 50_000 for number in range(6)}}
    assert len(msgspec.json.encode(large)) > MAX_VALUE_BYTES
    judged = CONTRACT.judge(SourceRecord(large))
    assert isinstance(judged, Rejection)
    assert "the limit is 262144" in judged.reason
    small = {**GOOD, "attributes": {"name": "x" * 50_000}}
    (event,) = CONTRACT.judge(SourceRecord(small))
    assert isinstance(event, IncomingEvent)
    assert event.attributes == small["attributes"]
