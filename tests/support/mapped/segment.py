"""Track calls as Segment delivers them, with orders of several lines and with records that are no events."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

START_MS = 1_764_547_200_000
EVENTS = {"Product Viewed": "view", "Product Added": "cart", "Order Completed": "purchase"}


class Call(NamedTuple):
    """A record, and the number of events that the preset `segment` reads in the record; None: a dead letter."""

    key: bytes
    value: bytes
    user: str
    events: int | None


def calls(count: int, users: int, items: int, foreign: float = 0.01, seed: int = 0, most_lines: int = 5) -> list[Call]:
    """Calls of users who look at products and order up to `most_lines` of them.

    foreign: the share of records that are no events: other calls, dropped actions, broken JSON, orders with a broken
    line. The key of a record is not the user, and it chooses the same partition for all records of a user.
    """
    draw = random.Random(seed)
    return [_call(draw, number, f"user-{draw.randrange(users)}", items, foreign, most_lines) for number in range(count)]


def _call(draw: random.Random, number: int, user: str, items: int, foreign: float, most_lines: int) -> Call:
    key = f"tracker:{user}".encode()
    name = draw.choices(list(EVENTS), [8, 2, 1])[0]
    lines = [_product(draw, items) for _ in range(draw.randint(1, most_lines))]
    kind = draw.randrange(4) if draw.random() < foreign else None
    if kind == 0:
        return Call(key, _encoded(number, user, "page", "Home", {}), user, 0)
    if kind == 1:
        return Call(key, _encoded(number, user, "track", "Coupon Viewed", {}), user, 0)
    if kind == 2:
        return Call(key, b'{"type": "track", ', user, None)
    if kind == 3:
        broken = {"order_id": str(number), "products": [*lines, {"name": "a line without a product"}]}
        return Call(key, _encoded(number, user, "track", "Order Completed", broken), user, None)
    if name == "Order Completed":
        order = {"order_id": str(number), "products": lines}
        return Call(key, _encoded(number, user, "track", name, order), user, len(lines))
    return Call(key, _encoded(number, user, "track", name, lines[0]), user, 1)


def _product(draw: random.Random, items: int) -> dict[str, Any]:
    return {
        "product_id": f"item-{draw.randrange(1, items + 1)}",
        "sku": f"G-{draw.randrange(99)}",
        "name": "Monopoly: 3rd Edition",
        "category": draw.choice(["Games", "Cups", "Pots"]),
        "brand": "Hasbro",
        "price": draw.randrange(1, 9_999) / 100,
        "quantity": 1,
    }


def _encoded(number: int, user: str, kind: str, name: str, properties: dict[str, Any]) -> bytes:
    time = datetime.fromtimestamp((START_MS + number) / 1000, UTC).isoformat(timespec="milliseconds")
    return msgspec.json.encode(
        {
            "anonymousId": f"anonymous-{user}",
            "context": {
                "ip": "203.0.113.9",
                "library": {"name": "analytics.js", "version": "2.11.1"},
                "locale": "en-US",
                "page": {"path": "/shop/", "referrer": "", "title": "Shop", "url": "https://shop.example/shop/"},
                "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
                "timezone": "Europe/Berlin",
            },
            "event": name,
            "integrations": {},
            "messageId": f"ajs-next-{number:024d}",
            "originalTimestamp": time,
            "properties": properties,
            "receivedAt": time,
            "sentAt": time,
            "timestamp": time,
            "type": kind,
            "userId": user,
            "version": 2,
        }
    )


def records(found: list[Call]) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each call."""
    return ((call.key, call.value) for call in found)
