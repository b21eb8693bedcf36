"""What a record becomes by a mapping: an event, several events, an erasure, a skipped record, or a rejection."""

import msgspec
import pytest

from encoder.data.contract.incoming_event import MAX_AHEAD_MS, MAX_VALUE_BYTES
from encoder.data.contract.judge import DroppedField
from encoder.data.events import BehaviorEvent
from streams.contracts.behavior_events import ERASE_HEADER
from streams.engine.codec import ContractDecoder, Erasure, Rejected, Several, Skipped, decode_records_of
from streams.engine.payload.mapped_decoder import PayloadDecoder
from streams.engine.payload.reader import JsonReader
from tests.support.mapped.records import MAPPING, NOW_MS, order, shop_decoder, shop_record
from tests.support.processing import Record, record


def decoded(one: Record, dropped: list[DroppedField] | None = None) -> object:
    [outcome] = shop_decoder().decode_batch([one], dropped)
    return outcome


def test_one_event_is_an_event_of_the_contract() -> None:
    outcome = decoded(shop_record(3, who="u", sku="i1", price=2.5))
    assert isinstance(outcome, BehaviorEvent)
    assert (outcome.user_id, outcome.item_id, outcome.action, outcome.event_id) == ("u", "i1", "view", "e3")
    assert (outcome.event_time_ms, outcome.price) == (NOW_MS, 2.5)


def test_the_lines_of_an_order_are_events_in_order_with_ids_of_their_own() -> None:
    outcome = decoded(order(3, "u", ["i1", "i2", "i1"]))
    assert isinstance(outcome, Several)
    assert [(one.event_id, one.item_id) for one in outcome.events] == [("e3#1", "i1"), ("e3#2", "i2"), ("e3#3", "i1")]
    assert (outcome.user_id, outcome.event_id) == ("u", "e3#1")


def test_an_order_with_one_line_is_one_event() -> None:
    outcome = decoded(order(3, "u", ["i1"]))
    assert isinstance(outcome, BehaviorEvent)
    assert outcome.event_id == "e3#1"


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"lines": [{"sku": "i1"}, {}]}, "item_id", "line 2: item_id is missing"),
        ({"lines": [{"sku": "i1"}, {"sku": ""}]}, "item_id", "line 2: item_id is"),
        ({"lines": [{"sku": "i1"}, {"sku": "x" * 600}]}, "item_id", "line 2: item_id is"),
        ({"lines": {}}, "value", "lines is {}: a list of lines is expected"),
        ({"lines": [{"sku": "i1"}] * 2, "at": NOW_MS + MAX_AHEAD_MS + 1}, "event_time_ms", "line 1: event_time_ms"),
        ({"sku": "i1", "at": NOW_MS + MAX_AHEAD_MS + 1}, "event_time_ms", "event_time_ms is"),
        ({"sku": "i1", "at": "yesterday"}, "event_time_ms", "neither a number nor"),
        ({"sku": "i1", "what": 7}, "action", None),
    ],
)
def test_a_broken_line_or_field_rejects_the_whole_record(fields: dict[str, object], field: str, reason: str) -> None:
    outcome = decoded(shop_record(0, who="u", **fields))
    if reason is None:
        assert isinstance(outcome, Rejected | Skipped)
        return
    assert isinstance(outcome, Rejected)
    assert (outcome.field, reason in outcome.reason) == (field, True), outcome.reason


def test_lines_of_several_users_are_rejected_because_a_record_has_one_partition() -> None:
    decoder = shop_decoder(MAPPING.replace('"who"', '["line:who", "who"]'))
    [outcome] = decoder.decode_batch([shop_record(0, who="u", lines=[{"sku": "i1"}, {"sku": "i2", "who": "v"}])])
    assert isinstance(outcome, Rejected)
    assert (outcome.field, "line 2: user_id is 'v', and line 1 has 'u'" in outcome.reason) == ("user_id", True)


@pytest.mark.parametrize(
    ("value", "reason"),
    [(b"{", "not JSON"), (b"[]", None), (b"", "empty"), (b"x" * (MAX_VALUE_BYTES + 1), "the limit is")],
)
def test_a_value_that_cannot_be_read_is_rejected_and_the_others_are_decoded(value: bytes, reason: str | None) -> None:
    good = shop_record(0, who="u", sku="i1")
    null = good._replace(value=None)
    first, broken, skipped, last = shop_decoder().decode_batch([good, good._replace(value=value), null, good])
    assert isinstance(first, BehaviorEvent)
    assert first == last
    assert isinstance(skipped, Skipped)
    assert isinstance(broken, Rejected)
    assert reason is None or reason in broken.reason, broken.reason


def test_a_dropped_action_and_a_null_value_are_skipped_and_no_dead_letters() -> None:
    assert decoded(shop_record(0, who="u", what="scrolled")) == Skipped("action", '"scrolled"')
    null = decoded(Record(b"k", None, 0, NOW_MS))
    assert isinstance(null, Skipped)
    assert null.reason == "tombstone"


def test_a_header_names_an_erasure_whatever_the_key_is() -> None:
    assert decoded(Record(b"k", None, 0, NOW_MS, headers=((ERASE_HEADER, b"u"),))) == Erasure("u")
    broken = decoded(Record(b"k", None, 0, NOW_MS, headers=((ERASE_HEADER, b"\xff"),)))
    assert isinstance(broken, Rejected)


def test_a_null_value_is_an_erasure_where_the_key_names_the_user() -> None:
    decoder = shop_decoder(MAPPING.replace('"who"', '"key:"'))
    assert decoder.decode_batch([Record(b"u", None, 0, NOW_MS)]) == [Erasure("u")]


def test_a_broken_optional_field_of_a_line_is_left_out_and_counted_once_the_record_is_an_event() -> None:
    dropped: list[DroppedField] = []
    lines = [{"sku": "i1", "price": "dear"}, {"sku": "i2"}]
    outcome = decoded(shop_record(0, who="u", lines=lines), dropped)
    assert isinstance(outcome, Several)
    assert [(one.field, one.event_id) for one in dropped] == [("price", "e0#1")]
    dropped.clear()
    assert isinstance(decoded(shop_record(0, who="u", lines=[*lines, {}]), dropped), Rejected)
    assert not dropped


def test_a_record_with_half_a_surrogate_pair_or_nan_is_judged_as_by_the_contract() -> None:
    text = msgspec.json.encode({"what": "looked", "at": NOW_MS, "id": "e", "who": "u", "sku": "i1", "price": 0})
    nan = decoded(Record(b"k", text.replace(b'"price":0', b'"price":NaN'), 0, NOW_MS))
    assert isinstance(nan, BehaviorEvent)
    assert nan.price is None
    half = decoded(Record(b"k", text.replace(b'"i1"', b'"\\ud800"'), 0, NOW_MS))
    assert isinstance(half, Rejected)
    assert half.field == "item_id"


def test_records_of_users_are_found_by_the_key_or_by_what_the_record_says() -> None:
    by_contract = [record(0, "a", "i1", "x", 5), record(1, "b", "i1", "y", 5), record(2, "a", None, "", 0)]
    kept, outcomes = decode_records_of(ContractDecoder(), by_contract, {"a"})
    assert [one.offset for one in kept] == [0, 2]
    assert outcomes[1] == Erasure("a")
    mapped = [order(0, "a", ["i1", "i2"]), shop_record(1, who="b", sku="i1"), shop_record(2, who="a", what="scrolled")]
    kept, outcomes = decode_records_of(shop_decoder(), mapped, {"a"})
    assert [one.offset for one in kept] == [0]
    assert isinstance(outcomes[0], Several)


def test_a_payload_of_another_format_holds_the_fields_of_the_contract() -> None:
    good = record(0, "a", "i1", "x", 5)
    assert good.value is not None
    wrong_key, no_object = good._replace(key=b"b"), good._replace(value=b"7")
    erasure = good._replace(value=None)
    records = [good, wrong_key, no_object, erasure, good._replace(value=b"{}")]
    by_payload = PayloadDecoder(JsonReader()).decode_batch(records)
    assert [type(one) for one in by_payload] == [type(one) for one in ContractDecoder().decode_batch(records)]
    assert by_payload[0] == ContractDecoder().decode_batch([good])[0]
    assert by_payload[3] == Erasure("a")


def test_mappings_with_other_results_have_other_names() -> None:
    assert shop_decoder().name == shop_decoder().name
    assert shop_decoder().name != shop_decoder(MAPPING + 'scrolled = "view"\n').name
    assert shop_decoder().name != ContractDecoder().name
