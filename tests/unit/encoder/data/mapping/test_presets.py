"""Each preset on small records in the shape that the vendor documents, written for these tests."""

import json
from typing import Any

import msgspec
import pytest

from encoder.data.mapping import Skipped, SkipReason, SourceRecord, load_mapping, preset_names
from encoder.data.mapping.mapping import Mapping

PRODUCT = "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1"
ACTION = "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1"


def events(mapping: Mapping, value: Any, **record: Any) -> list[dict[str, Any]]:
    """The events of a record without their absent fields. The value goes through JSON, as on a topic."""
    judged = mapping.judge(SourceRecord(msgspec.json.decode(msgspec.json.encode(value)), **record))
    assert isinstance(judged, tuple), judged
    return [
        {name: value for name, value in msgspec.to_builtins(event).items() if value is not None} for event in judged
    ]


def skipped(mapping: Mapping, value: Any, **record: Any) -> Skipped:
    judged = mapping.judge(SourceRecord(value, **record))
    assert isinstance(judged, Skipped), judged
    return judged


def test_every_preset_names_its_documentation() -> None:
    assert preset_names() == [
        "cloudevents",
        "contract",
        "debezium",
        "ga4",
        "matomo",
        "rudderstack",
        "segment",
        "shopify",
        "snowplow",
    ]
    fingerprints = {name: load_mapping(name).fingerprint for name in preset_names()}
    assert fingerprints.pop("rudderstack") == fingerprints["segment"]
    assert len(set(fingerprints.values())) == len(fingerprints)
    assert {len(fingerprint) for fingerprint in fingerprints.values()} == {16}


@pytest.mark.parametrize("name", ["segment", "rudderstack"])
def test_segment(name: str) -> None:
    mapping = load_mapping(name)
    track = {
        "type": "track",
        "messageId": "ajs-1",
        "anonymousId": "anonymous-7",
        "userId": "u-42",
        "event": "Product Viewed",
        "timestamp": "2026-03-01T10:00:00.250Z",
        "sentAt": "2026-03-01T10:00:01.000Z",
        "context": {"sessionId": 1772359200, "library": {"name": "analytics.js"}},
        "properties": {
            "product_id": "p-1",
            "sku": "G-32",
            "category": "Games",
            "name": "Chess",
            "brand": "Woody",
            "price": 18.99,
        },
    }
    viewed = {
        "event_id": "ajs-1",
        "user_id": "u-42",
        "item_id": "p-1",
        "action": "view",
        "event_time_ms": 1_772_359_200_250,
        "session_id": "1772359200",
        "category": "Games",
        "price": 18.99,
        "attributes": {"brand": "Woody", "item_name": "Chess"},
    }
    assert events(mapping, track) == [viewed]
    assert events(mapping, {**track, "userId": None})[0]["user_id"] == "anonymous-7"
    assert events(mapping, {**track, "userId": "", "properties": {"sku": "G-32"}})[0]["item_id"] == "G-32"
    assert skipped(mapping, {**track, "event": "Product List Viewed"}) == (SkipReason.ACTION, '"Product List Viewed"')
    assert skipped(mapping, {**track, "type": "identify"}) == (SkipReason.FILTER, 'type is "identify"')
    lines = [{"product_id": "p-1", "price": "18.99"}, {"product_id": 7}, {"sku": "G-32", "price": "EUR 5.00"}]
    order = {**track, "event": "Order Completed", "properties": {"order_id": "o-1", "products": lines}}
    bought = events(mapping, order)
    assert [(one["event_id"], one["item_id"], one.get("price")) for one in bought] == [
        ("ajs-1#1", "p-1", 18.99),
        ("ajs-1#2", "7", None),
        ("ajs-1#3", "G-32", 5.0),
    ]
    assert {one["action"] for one in bought} == {"purchase"}


def test_snowplow() -> None:
    mapping = load_mapping("snowplow")
    event = {
        "app_id": "shop",
        "event": "unstruct",
        "event_name": "snowplow_ecommerce_action",
        "event_id": "c6ef3124-b53a-4b13-a233-0088f79dcbcb",
        "collector_tstamp": "2026-03-01T10:00:01.000Z",
        "derived_tstamp": "2026-03-01T10:00:00.250Z",
        "user_id": None,
        "domain_userid": "d-42",
        "domain_sessionid": "s-1",
        ACTION: {"type": "product_view"},
        PRODUCT: [{"id": "p-1", "name": "Chess", "category": "games/board", "price": 18.99, "currency": "EUR"}],
    }
    assert events(mapping, event) == [
        {
            "event_id": "c6ef3124-b53a-4b13-a233-0088f79dcbcb#1",
            "user_id": "d-42",
            "item_id": "p-1",
            "action": "view",
            "event_time_ms": 1_772_359_200_250,
            "session_id": "s-1",
            "category": "games/board",
            "price": 18.99,
            "attributes": {"item_name": "Chess"},
        }
    ]
    sold = {**event, ACTION: {"type": "transaction"}, PRODUCT: [{"id": "p-1", "quantity": 2}, {"id": "p-2"}]}
    assert [(one["item_id"], one["action"]) for one in events(mapping, sold)] == [
        ("p-1", "purchase"),
        ("p-2", "purchase"),
    ]
    assert skipped(mapping, {**event, ACTION: {"type": "list_view"}}).reason == SkipReason.ACTION
    assert skipped(mapping, {**event, "event_name": "page_view"}).reason == SkipReason.FILTER


def test_ga4() -> None:
    mapping = load_mapping("ga4")
    row = {
        "event_date": "20260301",
        "event_timestamp": "1772359200250123",  # BigQuery writes 64-bit numbers as texts
        "event_name": "view_item",
        "event_bundle_sequence_id": "-12",
        "user_pseudo_id": "1234.5678",
        "event_params": [
            {"key": "page_title", "value": {"string_value": "Chess"}},
            {"key": "ga_session_id", "value": {"int_value": "1772359200"}},
        ],
        "items": [
            {"item_id": "p-1", "item_name": "Chess", "item_brand": "Woody", "item_category": "g", "price": 18.99}
        ],
    }
    (viewed,) = events(mapping, row)
    assert viewed["event_id"].endswith("#1")
    assert {**viewed, "event_id": ""} == {
        "event_id": "",
        "user_id": "1234.5678",
        "item_id": "p-1",
        "action": "view",
        "event_time_ms": 1_772_359_200_250,
        "session_id": "1772359200",
        "category": "g",
        "price": 18.99,
        "attributes": {"brand": "Woody", "item_name": "Chess"},
    }
    exported_again = {**row, "traffic_source": {"medium": "organic"}}
    assert events(mapping, exported_again)[0]["event_id"] == viewed["event_id"]
    assert events(mapping, {**row, "event_timestamp": 1_772_359_200_250_124})[0]["event_id"] != viewed["event_id"]
    sold = {**row, "event_name": "purchase", "user_id": "u-42", "items": [{"item_id": "p-1"}, {"item_id": "p-2"}]}
    assert [(one["user_id"], one["item_id"]) for one in events(mapping, sold)] == [("u-42", "p-1"), ("u-42", "p-2")]
    assert skipped(mapping, {**row, "event_name": "page_view", "items": []}).reason == SkipReason.ACTION
    assert skipped(mapping, {**row, "items": []}).reason == SkipReason.NO_LINES


def test_shopify() -> None:
    mapping = load_mapping("shopify")
    order = {
        "id": 820982911946154508,
        "admin_graphql_api_id": "gid://shopify/Order/820982911946154508",
        "created_at": "2026-03-01T05:00:00-05:00",
        "currency": "USD",
        "customer": {"id": 115310627314723954, "email": "reader@example.com"},
        "line_items": [
            {"id": 1, "product_id": 788032119674292922, "title": "Chess", "vendor": "Woody", "price": "18.99"},
            {"id": 2, "product_id": None, "variant_id": None, "sku": None, "title": "Tip", "price": "3.00"},
            {"id": 3, "product_id": 1071559748, "title": "Go", "price": "25.00"},
        ],
    }
    headers = [("X-Shopify-Topic", b"orders/create"), ("X-Shopify-Event-Id", b"98880550-7158-44d4-b7cd-2c97c8a091b5")]
    first, second = events(mapping, order, headers=headers)
    assert first == {
        "event_id": "98880550-7158-44d4-b7cd-2c97c8a091b5#1",
        "user_id": "115310627314723954",
        "item_id": "788032119674292922",
        "action": "purchase",
        "event_time_ms": 1_772_359_200_000,
        "price": 18.99,
        "attributes": {"brand": "Woody", "item_name": "Chess"},
    }
    assert (second["event_id"][-2:], second["item_id"]) == ("#3", "1071559748")
    lower = [("x-shopify-topic", b"orders/create")]  # HTTP headers have no case, and bridges to Kafka differ
    assert events(mapping, order, headers=lower)[0]["event_id"] == "gid://shopify/Order/820982911946154508#1"
    assert skipped(mapping, {**order, "customer": None}, headers=headers).reason == SkipReason.MISSING
    assert skipped(mapping, order, headers=[("X-Shopify-Topic", b"orders/paid")]).reason == SkipReason.ACTION


def test_matomo() -> None:
    mapping = load_mapping("matomo")
    cart = [{"itemSKU": "p-1", "itemName": "Chess", "itemCategory": "games", "price": 18.99, "quantity": 1}]
    visit = {
        "idVisit": 13270379,
        "visitorId": "d4dd7a0b1a2c3d4e",
        "userId": None,
        "serverTimestamp": 1772359300,
        "actionDetails": [
            {"type": "action", "url": "https://shop.example/", "timestamp": 1772359100},
            {
                "type": "action",
                "url": "https://shop.example/chess",
                "timestamp": 1772359200,
                "productViewSku": "p-1",
                "productViewName": "Chess",
                "productViewPrice": 18.99,
                "productViewCategories": ["games", "wood"],
            },
            {"type": "outlink", "url": "https://elsewhere.example/", "timestamp": 1772359210},
            {
                "type": "ecommerceOrder",
                "orderId": "o-1",
                "timestamp": 1772359300,
                "itemDetails": [*cart, {"itemSKU": "p-2"}],
            },
        ],
    }
    viewed, *bought = events(mapping, visit)
    assert viewed == {
        "event_id": "13270379:1772359200:action:p-1",
        "user_id": "d4dd7a0b1a2c3d4e",
        "item_id": "p-1",
        "action": "view",
        "event_time_ms": 1_772_359_200_000,
        "session_id": "13270379",
        "category": "games",
        "price": 18.99,
        "attributes": {"item_name": "Chess"},
    }
    assert [(one["event_id"], one["action"], one.get("category")) for one in bought] == [
        ("13270379:1772359300:ecommerceOrder:p-1", "purchase", "games"),
        ("13270379:1772359300:ecommerceOrder:p-2", "purchase", None),
    ]
    assert skipped(mapping, {**visit, "actionDetails": visit["actionDetails"][:1]}).reason == SkipReason.MISSING


def test_cloudevents() -> None:
    mapping = load_mapping("cloudevents")
    data = {"user_id": "u-42", "item_id": "p-1", "price": 18.99}
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"A234-1234-1234"),
        ("ce_source", b"/shop"),
        ("ce_type", b"com.example.viewed"),
        ("ce_time", b"2026-03-01T10:00:00Z"),
        ("content-type", b"application/json"),
    ]
    expected = {
        "event_id": "/shop#A234-1234-1234",
        "user_id": "u-42",
        "item_id": "p-1",
        "action": "com.example.viewed",
        "event_time_ms": 1_772_359_200_000,
        "price": 18.99,
    }
    assert events(mapping, data, headers=headers) == [expected]
    structured = {
        "specversion": "1.0",
        "id": "A234-1234-1234",
        "source": "/shop",
        "type": "com.example.viewed",
        "time": "2026-03-01T10:00:00Z",
        "data": data,
    }
    content_type = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
    assert events(mapping, structured, headers=content_type) == [expected]
    without_time = {name: value for name, value in structured.items() if name != "time"}
    assert events(mapping, without_time, timestamp_ms=1_772_359_200_001)[0]["event_time_ms"] == 1_772_359_200_001


@pytest.mark.parametrize("has_schema", [False, True])
def test_debezium(has_schema: bool) -> None:
    mapping = load_mapping("debezium")
    source = {"connector": "postgresql", "table": "events", "ts_ms": 1_772_359_200_250, "snapshot": "false"}
    row = {"id": 1004, "user_id": 42, "product_id": "p-1", "event_type": "view", "price": "18.99"}
    envelope = {"before": None, "after": row, "source": source, "op": "c", "ts_ms": 1_772_359_200_900}

    def value(**changed: Any) -> dict[str, Any]:
        payload = {**envelope, **changed}
        return {"schema": {"type": "struct", "fields": []}, "payload": payload} if has_schema else payload

    expected = {
        "event_id": "events:1004",
        "user_id": "42",
        "item_id": "p-1",
        "action": "view",
        "event_time_ms": 1_772_359_200_250,
        "price": 18.99,
    }
    assert events(mapping, value()) == [expected]
    assert events(mapping, value(op="r")) == [expected]
    assert events(mapping, value(after=json.dumps(row))) == [expected]  # as the connector for MongoDB writes rows
    assert skipped(mapping, value(op="u", before=row)).reason == SkipReason.FILTER
    assert skipped(mapping, value(op="d", before=row, after=None)).reason == SkipReason.FILTER
    assert skipped(mapping, None, key=b'{"id":1004}').reason == SkipReason.TOMBSTONE
    without_id = {name: value for name, value in row.items() if name != "id"}
    keys = [b'{"a":1}', b'{"a":1}', b'{"a":2}']
    ids = [events(mapping, value(after=without_id), key=key)[0]["event_id"] for key in keys]
    assert ids[0] == ids[1] != ids[2]
