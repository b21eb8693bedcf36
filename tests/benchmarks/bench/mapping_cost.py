"""The time that a mapping takes for an event, beside decoding: python -m tests.benchmarks.bench.mapping_cost

The record is a call of Segment's `Product Viewed`. The figures are the least of many repetitions, so that other
programs on the machine count little.
"""

import argparse
import json
import timeit
from collections.abc import Callable

import msgspec

from encoder.data.contract.judge import decode_well_formed, judge_fields
from encoder.data.mapping import SourceRecord, load_mapping

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"
PROPERTIES = {
    "product_id": "p-00001",
    "sku": "G-32",
    "category": "Games",
    "name": "Chess for two",
    "brand": "Woody",
    "price": 18.99,
    "quantity": 1,
    "currency": "EUR",
    "url": "https://shop.example.com/games/chess-for-two",
}
PAGE = {"path": "/games/", "referrer": "", "search": "", "title": "Games", "url": "https://shop.example.com/games/"}
TRACK = {
    "anonymousId": "507f191e810c19729de860ea",
    "channel": "browser",
    "context": {"ip": "203.0.113.7", "userAgent": AGENT, "page": PAGE, "locale": "de-DE"},
    "event": "Product Viewed",
    "messageId": "022bb90c-bbac-11e4-8dfc-aa07a5b093db",
    "properties": PROPERTIES,
    "receivedAt": "2026-03-01T10:00:01.909Z",
    "sentAt": "2026-03-01T10:00:01.581Z",
    "timestamp": "2026-03-01T10:00:00.905Z",
    "type": "track",
    "userId": "97980cfea0067",
}
LINES = [{"product_id": f"p-{number}", "price": 18.99, "name": "Chess for two"} for number in range(5)]
CALLS, ROUNDS = 500, 1_500


def least_us(call: Callable[[], object]) -> float:
    """The least time of a call, in microseconds."""
    return min(timeit.repeat(call, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def measure() -> dict[str, float]:
    """Microseconds by name."""
    mapping = load_mapping("segment")
    decode = msgspec.json.Decoder().decode
    decode_part = msgspec.json.Decoder(mapping.value_type).decode
    value = msgspec.json.encode(TRACK)
    record = SourceRecord(decode(value))
    (fields,) = mapping.read(record)
    event = msgspec.json.encode(judge_fields(fields).outcome)
    order = SourceRecord({**TRACK, "event": "Order Completed", "properties": {"order_id": "o-1", "products": LINES}})
    other = SourceRecord({**TRACK, "event": "Product List Viewed"})
    return {
        "decode the JSON": least_us(lambda: decode(value)),
        "read": least_us(lambda: mapping.read(record)),
        "judge_fields": least_us(lambda: judge_fields(fields)),
        "judge: read and judge at once": least_us(lambda: mapping.judge(record)),
        "decode and judge": least_us(lambda: mapping.judge(SourceRecord(decode(value)))),
        "decode what the mapping reads": least_us(lambda: decode_part(value)),
        "the same and judge, as in a worker": least_us(lambda: mapping.read_at_once(decode_part(value), b"u", (), 1)),
        "judge an event of an order with 5 lines": least_us(lambda: mapping.judge(order)) / 5,
        "skip an action": least_us(lambda: mapping.judge(other)),
        "the contract's event, decoded and judged": least_us(lambda: decode_well_formed(event)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    figures = measure()
    if parser.parse_args().json:
        print(json.dumps({name: round(us, 3) for name, us in figures.items()}))
        return
    for name, us in figures.items():
        print(f"{us:6.2f} us  {name}")


if __name__ == "__main__":
    main()
