"""No input makes the codec raise or break its contract. `python -m tests.tools.fuzz_codec` tries millions of inputs."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encoder.data.events import BehaviorEvent
from streams.contracts.fields import MAX_AHEAD_MS
from streams.engine import codec
from tests.tools.fuzz_codec import BYTES, FIELDS, NOW_MS, TIMESTAMPS, TOKENS, Input, Mutator, check, join

GOOD = {
    "event_id": b'"e1"',
    "user_id": b'"u1"',
    "item_id": b'"i1"',
    "action": b'"view"',
    "event_time_ms": b"%d" % NOW_MS,
}
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=8,
)
written = st.builds(
    lambda content, escaped: json.dumps(content, ensure_ascii=escaped).encode("utf-8", "surrogatepass"),
    json_like,
    st.booleans(),
)
changes = st.dictionaries(st.sampled_from([*FIELDS, "extra"]), st.sampled_from(TOKENS) | written, max_size=4)
damages = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 8), st.sampled_from([b"", *BYTES]) | st.binary(max_size=4)),
    max_size=3,
)
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
events = st.builds(
    BehaviorEvent,
    event_id=text,
    user_id=text,
    item_id=text,
    action=text,
    event_time_ms=st.integers(0, NOW_MS + MAX_AHEAD_MS),
    session_id=st.none() | text,
    category=st.none() | text,
    price=st.none() | st.floats(0, allow_infinity=False),
    attributes=st.none() | st.dictionaries(text, text | numbers, max_size=4),
)


@settings(max_examples=600)
@given(st.none() | st.binary(max_size=60), st.none() | st.binary(max_size=300), st.integers(-1, 2**53))
def test_any_bytes_are_decoded_or_rejected(key: bytes | None, value: bytes | None, timestamp_ms: int) -> None:
    check([Input(key, value, timestamp_ms), Input(key, None, timestamp_ms)])


@settings(max_examples=1_500)
@given(changes, st.sets(st.sampled_from([*GOOD]), max_size=1), damages, st.integers(-1, 2**53))
def test_damaged_events_are_decoded_or_rejected(
    changed: dict[str, bytes], left_out: set[str], damaged: list[tuple[int, int, bytes]], timestamp_ms: int
) -> None:
    fields = {name: content for name, content in (GOOD | changed).items() if name not in left_out}
    value = join({f'"{name}"': content for name, content in fields.items()})
    for at, taken, put in damaged:
        value = value[:at] + put + value[at + taken :]
    check([Input(b"u1", value, ms) for ms in (NOW_MS, timestamp_ms, *TIMESTAMPS[:1])])


@settings(max_examples=900)
@given(events)
def test_a_valid_event_is_decoded_without_a_change(event: BehaviorEvent) -> None:
    check([Input(event.user_id.encode(), msgspec.json.encode(event), NOW_MS, event)])


def test_seeded_mutations_are_decoded_or_rejected() -> None:
    mutator = Mutator(seed=0)
    kinds = {type(outcome) for outcome in check([mutator.input() for _ in range(10_000)])}
    assert len(kinds) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        lambda outcomes: outcomes[1:],
        lambda outcomes: [codec.Rejected("", "value")],
        lambda outcomes: [codec.Rejected("why", "colour")],
        lambda outcomes: [codec.Erasure("u1")],
        lambda outcomes: [msgspec.structs.replace(outcomes[0], item_id="")],
        lambda outcomes: [msgspec.structs.replace(outcomes[0], event_time_ms=NOW_MS + MAX_AHEAD_MS + 1)],
        lambda outcomes: [msgspec.structs.replace(outcomes[0], price=float("inf"))],
    ],
)
def test_the_check_finds_wrong_outcomes(wrong: object, monkeypatch: pytest.MonkeyPatch) -> None:
    good = Input(b"u1", join({f'"{name}"': content for name, content in GOOD.items()}))
    found = wrong(codec.decode_batch([good]))
    monkeypatch.setattr("tests.tools.fuzz_codec.decode_batch", lambda records: found)
    monkeypatch.setattr("tests.tools.fuzz_codec.decode", lambda *record: found[0])
    with pytest.raises(AssertionError):
        check([good])
