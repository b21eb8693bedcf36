"""The referee agrees with the product where the product is right, and finds every kind of wrong result."""

import base64
import json
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from export.runtime.bundle import Bundle
from export.runtime.queries import bought_of_states
from export.runtime.stepper import Stepper
from streams.engine.arena import Arena
from streams.engine.codec import decode_batch
from streams.engine.planning.candidates import Part
from streams.engine.planning.rows import Rows
from streams.engine.processor import Processor
from streams.engine.state_cell import bytes_of_rows, encode_states
from tests.referee.judgement import SCORE_TOLERANCE, Findings, Outputs, RecordIds, judge
from tests.referee.model import Model
from tests.referee.recompute import Expected, recompute
from tests.referee.records import (
    LINES,
    Position,
    Sent,
    Shop,
    crc32_partition,
    ends_of,
    fnv1a_partition,
    murmur2_partition,
)
from tests.referee.rows import Row, decode_row

BUNDLES = [Path(__file__).parents[3] / path for path in ("streams/demo/bundle", "tests/e2e/before_rooms/bundle")]
IDS = RecordIds("events", (0, 2))
USERS = ["ann", "bob", "cid"]


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(BUNDLES[0], SCORE_TOLERANCE)


@pytest.fixture(scope="module")
def records(model: Model) -> list[Sent]:
    """Return records of two incarnations of a topic. Bob is erased in the first one, and comes back."""
    return sent_records(model)


def sent_records(model: Model) -> list[Sent]:
    shop = Shop(random.Random(0), model.vocabulary)
    pairs: list[tuple[str, dict[str, Any] | None]] = [*shop.events(USERS, 60), ("bob", None), *shop.events(USERS, 20)]
    first = [Sent(Position(0, 0, offset), *pair) for offset, pair in enumerate(pairs)]
    return first + [Sent(Position(1, 0, offset), *pair) for offset, pair in enumerate(shop.events(["ann"], 5))]


def right_outputs(model: Model, expected: Expected) -> Outputs:
    """Return what the product must store and publish, made from the expectation."""
    rows = {
        user_id: Row(
            user_id=user_id,
            outlook=user.outlook,
            steps=user.steps,
            last_time_ms=user.last_time_ms,
            last_item=user.last_item,
            epoch=IDS.first_epochs[user.position.incarnation],
            partition=user.position.partition,
            offset=user.position.offset,
            state=user.state,
            fault=None,
        )
        for user_id, user in expected.users.items()
    }
    updates = [
        (user_id.encode(), encode({"user_id": user_id, "steps": 0, "representation": "", "bundle_id": model.bundle_id}))
        for user_id in expected.users
    ]
    updates += [
        (
            user_id.encode(),
            encode(
                {
                    "user_id": user_id,
                    "bundle_id": model.bundle_id,
                    "steps": user.steps,
                    "representation": base64_of(user.outlook.representation.astype("<f4")),
                    "recent_items": base64_of(user.outlook.recent_items.astype("<i4")),
                    "recent_scores": base64_of(user.outlook.recent_scores.astype("<f4")),
                    "bought_items": base64_of(user.outlook.bought_items.astype("<i4")),
                }
            ),
        )
        for user_id, user in expected.users.items()
    ]
    return Outputs(rows, [encode(one) for one in evaluations(model, expected)], updates)


def base64_of(array: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(array.tobytes()).decode()


def evaluations(model: Model, expected: Expected) -> list[dict[str, Any]]:
    return [
        {
            **{name: due.event[name] for name in ("user_id", "item_id", "action", "event_time_ms")},
            "id": IDS.of(position),
            "bundle_id": model.bundle_id,
            "previous_item_id": due.previous_item,
            "steps": due.steps,
            "state_age_ms": due.gap_ms,
            "catalogue": model.catalogue,
            "rank": due.prediction.rank,
            "reciprocal_rank": 1 / due.prediction.rank if due.prediction.rank else 0,
            "action_probability": due.prediction.action_probability,
        }
        for position, due in expected.evaluated.items()
    ]


def encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def judged(model: Model, records: list[Sent], outputs: Outputs) -> Findings:
    return judge(model, recompute(model, records), outputs, IDS)


def test_records_of_another_incarnation_do_not_count_as_the_end_of_a_partition(records: list[Sent]) -> None:
    assert ends_of(records, 0) == {0: 81}
    assert ends_of(records, 1) == {0: 5}


def test_an_order_that_was_sent_does_not_change_with_its_repetition(model: Model) -> None:
    """The item stands in the lines alone, because the mapping of orders looks for an item in the order as well."""
    drawn = [(event, json.dumps(event)) for _, event in Shop(random.Random(1), model.vocabulary).orders(USERS, 900)]
    assert len({event["event_id"] for event, _ in drawn}) < len(drawn)
    assert [json.dumps(event) for event, _ in drawn] == [sent for _, sent in drawn]
    orders = [event for event, _ in drawn if LINES in event]
    assert any("item_id" not in line for order in orders for line in order[LINES])
    assert not any("item_id" in order for order in orders)


def test_right_outputs_have_no_problem(model: Model, records: list[Sent]) -> None:
    expected = recompute(model, records)
    assert expected.repeated > 0
    found = judged(model, records, right_outputs(model, expected))
    assert (found.problems, found.lost, found.twice, found.differing) == ([], 0, 0, 0)
    assert found.applied == len(expected.evaluated) == 85 - expected.repeated


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"steps": 1}, "steps, time and item"),
        ({"last_item": "another"}, "steps, time and item"),
        ({"offset": 0}, "the row stands at"),
        ({"epoch": 0}, "the row stands at"),
        ({"fault": "the checksum of the cell is wrong"}, "the checksum"),
        ({"state": 2e-5}, "the state differs"),
        ({"representation": np.nan}, "the columns for readers by inf"),
        ({"recent_scores": 2e-5}, "the columns for readers by 2"),
        ({"recent_items": 1}, "the columns for readers by inf"),
        ({"bought_items": 1}, "the columns for readers by inf"),
    ],
)
def test_a_changed_row_is_found(model: Model, records: list[Sent], change: dict[str, Any], problem: str) -> None:
    outputs = right_outputs(model, recompute(model, records))
    row = outputs.rows["ann"]
    [(name, value)] = change.items()
    if name == "state":
        change = {"state": row.state + np.float32(value)}
    elif hasattr(row.outlook, name):
        change = {"outlook": replace(row.outlook, **{name: getattr(row.outlook, name) + value})}
    if name.startswith("recent") and not model.places:
        pytest.skip("this bundle has no recent items")
    if name.startswith("bought") and not model.bought_places:
        pytest.skip("this bundle has no purchase actions")
    outputs.rows["ann"] = replace(row, **change)
    found = judged(model, records, outputs)
    assert found.differing == 1
    assert problem in found.problems[0]


def test_lost_and_repeated_steps_are_counted(model: Model, records: list[Sent]) -> None:
    outputs = right_outputs(model, recompute(model, records))
    steps = outputs.rows["ann"].steps
    outputs.rows["dan"] = replace(outputs.rows.pop("ann"), user_id="dan")
    outputs.rows["bob"] = replace(outputs.rows["bob"], steps=outputs.rows["bob"].steps + 2)
    found = judged(model, records, outputs)
    assert (found.lost, found.twice, found.differing) == (steps, steps + 2, 3)


@pytest.mark.parametrize("field", ["user_id", "previous_item_id", "steps", "state_age_ms", "rank", "reciprocal_rank"])
def test_a_changed_evaluation_is_found(model: Model, records: list[Sent], field: str) -> None:
    expected = recompute(model, records)
    events = evaluations(model, expected)
    ranked = next(event for event in events if event["rank"] and event["steps"])
    changed = {**ranked, field: 10_000}
    outputs = right_outputs(model, expected)
    found = judged(model, records, outputs._replace(evaluations=[*outputs.evaluations, encode(changed)]))
    assert len(found.problems) == 1
    assert field in found.problems[0]


def test_missing_and_superfluous_evaluations_are_found(model: Model, records: list[Sent]) -> None:
    expected = recompute(model, records)
    outputs = right_outputs(model, expected)
    first = json.loads(outputs.evaluations[0])
    of_erasure = IDS.of(next(one.position for one in records if one.event is None))
    events = [encode({**first, "id": of_erasure}), *outputs.evaluations[1:]]
    found = judged(model, records, outputs._replace(evaluations=events))
    assert [problem.split(" of user")[0] for problem in found.problems] == [
        f"evaluation: id {of_erasure}",
        f"evaluation: id {first['id']}",
    ]


def test_a_reader_of_compacted_updates_sees_the_last_value_of_each_key(model: Model, records: list[Sent]) -> None:
    outputs = right_outputs(model, recompute(model, records))
    other = encode({**json.loads(outputs.updates[-1][1] or b""), "bundle_id": "another"})
    found = judged(model, records, outputs._replace(updates=[*outputs.updates, (outputs.updates[-1][0], other)]))
    assert len(found.problems) == 1
    assert "has no update" in found.problems[0]
    older = [*outputs.updates[3:], *outputs.updates[:1]]
    assert len(judged(model, records, outputs._replace(updates=older)).problems) == 1


def test_an_erased_user_must_have_no_update(model: Model, records: list[Sent]) -> None:
    outputs = right_outputs(model, recompute(model, records))
    erased = [*records, Sent(Position(1, 1, 0), "cid", None)]
    del outputs.rows["cid"]
    [problem] = judged(model, erased, outputs).problems
    assert problem == "update: erased user 'cid' still has an update"


@pytest.mark.parametrize("folder", BUNDLES, ids=["demo", "before_rooms"])
def test_the_recomputed_users_are_those_of_the_processor(folder: Path) -> None:
    model, bundle = Model(folder, SCORE_TOLERANCE), Bundle.load(folder)
    sent = [one for one in sent_records(model) if one.position.incarnation == 0]
    inputs: list[Any] = [
        SimpleNamespace(
            key=one.user_id.encode(),
            value=None if one.event is None else encode(one.event),
            timestamp=10**12,
            offset=one.position.offset,
        )
        for one in sent
    ]
    arena = Arena(10, model.state_width, model.representation_width)
    processor = Processor(bundle, Stepper(bundle), arena)
    scored = processor.score(processor.process([Part(0, inputs, decode_batch(inputs))], 1))
    expected = recompute(model, sent)
    assert set(expected.users) == {user for user, _ in arena.users()}
    for user_id, slot in arena.users():
        user = expected.users[user_id]
        assert (user.steps, user.last_time_ms) == (arena.steps[slot], arena.last_time_ms[slot])
        np.testing.assert_allclose(user.state, arena.state[slot], atol=1e-5)
        np.testing.assert_allclose(user.outlook.representation, arena.representation[slot], atol=1e-5)
        bought = bought_of_states(arena.state[[slot]], model.bought_places)[0]
        assert user.outlook.bought_items.tolist() == bought.tolist()
        assert not model.bought_places or bought[0] > 0
    ranks = {int(offset): rank for offset, rank in zip(scored.applied.offset, scored.rank.tolist(), strict=True)}
    for position, due in expected.evaluated.items():
        foreseen = due.prediction
        assert (foreseen.rank or 0) == ranks[position.offset]
        if foreseen.rank is not None:
            # Scores that differ by less than the referee's tolerance leave some ranks open.
            assert foreseen.lowest_rank <= foreseen.rank <= foreseen.highest_rank <= foreseen.lowest_rank + 5


def test_a_stored_row_is_decoded_by_its_layout() -> None:
    arena = Arena(1, 5, 3)
    slot = arena.allocate("ann")
    arena.partition[slot], arena.offset[slot], arena.steps[slot], arena.last_time_ms[slot] = 2, 2**40, 7, 10**12
    arena.set_last_items([slot], ["Straße"])
    rows = Rows.from_arena(["ann"], 1, arena)
    vector, state = np.array([[0.1, -2, 3]], np.float32), np.arange(5, dtype=np.float32)[None]
    stored = bytes_of_rows(vector.astype(">f4"))
    parts = encode_states(b"gru-1", [b"ann"], stored, 4, rows, ["Straße".encode()], state)
    cell = b"".join(part for [part] in parts)
    columns = ["ann", vector[0].tolist(), 7, 10**12, "Straße", cell, [4, -1], [0.5, 0.0], [7, -1]]
    row = decode_row("gru-1", columns)
    assert (row.fault, row.epoch, row.partition, row.offset) == (None, 4, 2, 2**40)
    assert (row.steps, row.last_time_ms, row.last_item) == (7, 10**12, "Straße")
    np.testing.assert_array_equal(row.state, state[0])
    np.testing.assert_array_equal(row.outlook.representation, vector[0])
    assert (row.outlook.recent_items.tolist(), row.outlook.recent_scores.tolist()) == ([4, -1], [0.5, 0.0])
    assert row.outlook.bought_items.tolist() == [7, -1]
    assert decode_row("gru-2", columns).fault == "the checksum of the cell is wrong"
    assert "the columns say" in str(decode_row("gru-1", [*columns[:2], 8, *columns[3:]]).fault)


def test_the_rules_of_the_clients() -> None:
    """The values come from the documentation of each hash: Kafka's Utils.murmur2, zlib, and the FNV page."""
    assert [murmur2_partition(key, 2**31) for key in (b"21", b"foobar")] == [
        -973932308 & 0x7FFFFFFF,
        -790332482 & 0x7FFFFFFF,
    ]
    assert crc32_partition(b"123456789", 2**32) == 0xCBF43926
    assert fnv1a_partition(b"a", 2**32) == 2**32 - 0xE40C292C
    assert fnv1a_partition(b"foobar", 2**32) == 2**32 - 0xBF9CF968
