"""Checks the codec with many seeded mutations of events: `python -m tests.tools.fuzz_codec --inputs 1000000 --seed 7`.

`check` states what must hold for any input. `tests/unit/engine/test_codec_fuzz.py` uses it with inputs of Hypothesis.
"""

import argparse
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from encoder.data.events import BehaviorEvent
from streams.contracts.fields import MAX_AHEAD_MS, MAX_KEY_BYTES, MAX_TEXT, MAX_TIME_MS, MAX_VALUE_BYTES
from streams.engine.codec import Erasure, Outcome, Rejected, decode, decode_batch

NOW_MS = 1_700_000_000_000
BATCH = 250
POOL = 2_000  # valid events that the mutations start from
TEXTS = ("event_id", "user_id", "item_id", "action")
FIELDS = BehaviorEvent.__struct_fields__
REJECTED_FIELDS = {*FIELDS, "key", "value", "timestamp"}


class Input(NamedTuple):
    """The parts of a record that the codec reads."""

    key: bytes | None
    value: bytes | None
    timestamp: int = NOW_MS
    event: BehaviorEvent | None = None  # the event that the codec must return, if known


def check(inputs: Sequence[Input]) -> list[Outcome]:
    """Decode a batch, check each outcome and return them. Raises AssertionError and any error of the codec."""
    outcomes = decode_batch(inputs)
    assert len(outcomes) == len(inputs), f"{len(outcomes)} outcomes of {len(inputs)} records"
    for record, outcome in zip(inputs, outcomes, strict=True):
        assert outcome == decode(record.key, record.value, record.timestamp), (
            "the record has another outcome when it is decoded alone"
        )
        if record.event is not None:
            assert isinstance(outcome, BehaviorEvent), outcome
            assert fields_of(outcome) == fields_of(record.event), outcome
        if isinstance(outcome, Rejected):
            assert outcome.reason, outcome
            assert outcome.field in REJECTED_FIELDS, outcome
            assert len(outcome.reason.encode()) < 1000, outcome
        elif isinstance(outcome, Erasure):
            assert record.value is None, outcome
            assert outcome.user_id.encode() == record.key, outcome
            assert 1 <= len(outcome.user_id) <= MAX_TEXT, outcome
        else:
            check_bounds(record, outcome)
    return outcomes


def fields_of(event: BehaviorEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in FIELDS}


def check_bounds(record: Input, event: BehaviorEvent) -> None:
    """Check the bounds that the contract promises for an event, without the types that the decoder uses."""
    assert isinstance(event, BehaviorEvent), event
    assert record.value is not None, event
    assert len(record.value) <= MAX_VALUE_BYTES, event
    assert event.user_id.encode() == record.key, event
    for name in TEXTS:
        text = getattr(event, name)
        assert type(text) is str, event
        assert 1 <= len(text) <= MAX_TEXT, event
    for text in (event.session_id, event.category):
        assert text is None or (type(text) is str and len(text) <= MAX_TEXT), event
    assert type(event.event_time_ms) is int, event
    assert 0 <= event.event_time_ms <= MAX_TIME_MS, event
    assert record.timestamp >= 0, event
    assert event.event_time_ms <= record.timestamp + MAX_AHEAD_MS, event
    assert event.price is None or (type(event.price) is float and 0 <= event.price < math.inf), event
    for name, content in (event.attributes or {}).items():
        assert 1 <= len(name) <= MAX_TEXT, event
        assert type(content) in (str, int, float), event
        assert type(content) is not int or -(2**63) <= content < 2**63, event
        assert type(content) is not float or math.isfinite(content), event
    json.dumps(fields_of(event), ensure_ascii=False, allow_nan=False).encode()


ALPHABET = 'ab1 é"\\/\0\n\u2028漢\U0001f600{}[]:,'
TOKENS = [
    *(b"null", b"true", b"false", b"0", b"-0", b"-1", b"1.5", b"1e999", b"1e-999", b"-0.0", b"NaN", b"-Infinity"),
    *(b'""', b'"x"', b"'x'", b"x", b"[]", b"{}", b'{"a":1}', b'{"":1}', b'{"a":null}', b'{"a":[1]}', b'["x"]'),
    *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"\\x"', b'"\xff"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"\t"'),
    *(b"01", b"+1", b".5", b"1.", b"1e", b"9" * 25, b"1" * 5000, b"-" + b"9" * 400, b"%d" % MAX_TIME_MS),
    *(b"%d" % (MAX_TIME_MS + 1), b"%d" % (NOW_MS + MAX_AHEAD_MS), b"%d" % (NOW_MS + MAX_AHEAD_MS + 1)),
    *(b'{"n":9223372036854775807}', b'{"n":9223372036854775808}', b'{"n":-9223372036854775809}', b'{"n":1e400}'),
    b'"' + b"x" * MAX_TEXT + b'"',
    b'"' + b"x" * (MAX_TEXT + 1) + b'"',
    b'"' + "漢".encode() * MAX_TEXT + b'"',
    b"[" * 3000 + b"]" * 3000,
    b'{"a":' * 3000,
]
BYTES = [
    *(bytes([b]) for b in b'{}[]",:\\0-eE.n\x00\x80\xc3\xff \n'),
    b"\xef\xbb\xbf",
    b'\\"',
    b"\\u",
    b"\\ud83d",
    b"//",
]
KEYS = [None, b"", b"\xff", b"u1", b'"u1"', b"u" * MAX_TEXT, b"u" * (MAX_TEXT + 1), b"u" * (MAX_KEY_BYTES + 1)]
TIMESTAMPS = [-1, 0, NOW_MS - MAX_AHEAD_MS, NOW_MS + MAX_AHEAD_MS, MAX_TIME_MS, 2**63 - 1, -(2**63)]


class Mutator:
    """Draws inputs in a reproducible order: valid events, damaged events, random bytes and erasures."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._pool = [self._event() for _ in range(POOL)]

    def input(self) -> Input:
        draw = self._draw
        event, fields = self._pool[int(draw.random() * POOL)]
        key: bytes | None = event.user_id.encode()
        kind = draw.random()
        if kind < 0.1:
            return Input(key, join(fields), NOW_MS, event)
        if kind < 0.15:
            return Input(draw.choice(KEYS) if draw.random() < 0.5 else key, None)
        if kind < 0.25:
            return Input(key, draw.randbytes(draw.randrange(80)))
        if kind < 0.75:
            fields = dict(fields)
            for _ in range(draw.choice((1, 1, 2, 3))):
                self._change_field(fields)
        value = join(fields)
        if draw.random() < 0.02:
            value = value[:-1] + b"," + value[1:]  # every field twice
        if kind > 0.7:
            for _ in range(draw.choice((1, 1, 2, 5))):
                value = self._damage(value)
        timestamp = draw.choice(TIMESTAMPS) if draw.random() < 0.05 else NOW_MS
        if draw.random() < 0.05:
            key = draw.choice(KEYS)
        if draw.random() < 0.0005:
            value += b" " * draw.choice((MAX_VALUE_BYTES - len(value), MAX_VALUE_BYTES - len(value) + 1))
        return Input(key, value, timestamp)

    def _event(self) -> tuple[BehaviorEvent, dict[str, bytes]]:
        draw = self._draw
        numbers = [draw.randrange(-(2**63), 2**63), draw.uniform(-1e9, 1e9), 0.0, -0.0, 5e-324, 1.7e308]
        attributes = {self._text(): draw.choice([self._text(0), *numbers]) for _ in range(draw.randrange(4))}
        event = BehaviorEvent(
            event_id=self._text(),
            user_id=self._text(),
            item_id=self._text(),
            action=draw.choice(("view", "cart", "purchase", self._text())),
            event_time_ms=draw.choice((NOW_MS, 0, NOW_MS + MAX_AHEAD_MS, draw.randrange(NOW_MS))),
            session_id=draw.choice((None, self._text(0))),
            category=draw.choice((None, self._text(0))),
            price=draw.choice((None, 0.0, 12.5, draw.uniform(0, 1e6), 1.7e308)),
            attributes=draw.choice((None, attributes)),
        )
        escaped = draw.random() < 0.5
        texts = {name: json.dumps(content, ensure_ascii=escaped) for name, content in fields_of(event).items()}
        return event, {f'"{name}"': text.encode() for name, text in texts.items()}

    def _text(self, least: int = 1) -> str:
        draw = self._draw
        length = draw.choice((least, 1, 5, 12, MAX_TEXT)) if draw.random() < 0.1 else draw.randrange(1, 13)
        return "".join(draw.choices(ALPHABET, k=length))

    def _change_field(self, fields: dict[str, bytes]) -> None:
        draw = self._draw
        name = draw.choice([*fields]) if fields and draw.random() < 0.9 else draw.choice(['"extra"', '""', '"\\ud800"'])
        change = draw.random()
        if change < 0.2:
            fields.pop(name, None)
        elif change < 0.25 and name in fields:
            fields[name.upper()] = fields.pop(name)
        else:
            fields[name] = draw.choice(TOKENS)

    def _damage(self, value: bytes) -> bytes:
        draw = self._draw
        at = draw.randrange(len(value) + 1)
        kind = draw.randrange(5)
        if kind == 0:
            return value[:at]
        if kind == 1:
            return value[:at] + draw.choice(BYTES) + value[at:]
        if kind == 2:
            return value[:at] + value[at + draw.randrange(1, 9) :]
        if kind == 3:
            return value[:at] + draw.randbytes(1) + value[at + 1 :]
        start = draw.randrange(len(value) + 1)
        return value[:at] + value[start : start + draw.randrange(40)] + value[at:]


def join(fields: dict[str, bytes]) -> bytes:
    return b"{" + b",".join(b"%s:%s" % (name.encode(), text) for name, text in fields.items()) + b"}"


def kind_of(outcome: Outcome) -> str:
    return f"rejected at {outcome.field}" if isinstance(outcome, Rejected) else type(outcome).__name__


def first_failure(inputs: Sequence[Input]) -> tuple[Sequence[Input], Exception] | None:
    """Return the first input that fails alone, or the whole batch if only the batch fails, or None."""
    for one in [*([i] for i in inputs), inputs]:
        try:
            check(one)
        except Exception as error:  # any error of the codec is a finding
            return one, error
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    args = parser.parse_args()
    mutator, counts = Mutator(args.seed), Counter[str]()
    began = time.perf_counter()
    for start in range(0, args.inputs, BATCH):
        inputs = [mutator.input() for _ in range(min(BATCH, args.inputs - start))]
        try:
            counts.update(map(kind_of, check(inputs)))
        except Exception as error:
            failing, why = first_failure(inputs) or (inputs, error)
            print(f"failed after {start} inputs of seed {args.seed}: {type(why).__name__}: {why}\n{failing!r}")
            return 1
    seconds = time.perf_counter() - began
    print(f"{args.inputs:,} inputs of seed {args.seed} in {seconds:.0f} s, {args.inputs / seconds:,.0f} inputs/s")
    for name, count in counts.most_common():
        print(f"  {count:>9,}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
