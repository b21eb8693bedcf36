"""Predictions of other systems: scored on the next event, and otherwise counted with a reason."""

from types import SimpleNamespace

import msgspec
import pytest

from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.metrics_events import MetricsEvent
from streams.contracts.predictions import Prediction
from streams.contracts.representation_updates import RepresentationUpdate
from streams.monitor.scoring import predictions as module
from streams.monitor.scoring.bundle_scoreboards import BundleScoreboards
from streams.monitor.scoring.predictions import Predictions
from streams.monitor.scoring.scoreboard import OtherRank
from tests.support.monitoring.evaluations import evaluation
from tests.support.monitoring.simulated_stream import Record


def predict(after: int, *items: str, system: str = "theirs", user: str = "u") -> Prediction:
    return Prediction(system, user, f"events-0-0-{after}", list(items))


class FakeFrozen:
    """Frozen representations of nobody."""

    bundle_id = "gru-1"

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    def update(self, update: RepresentationUpdate) -> float:
        raise AssertionError(update)

    def forget(self, user_id: str) -> None:
        self.forgotten.append(user_id)

    def ranks(self, event: EvaluationEvent) -> list[OtherRank]:
        return []


@pytest.fixture
def predictions() -> Predictions:
    """The user's event at offset 1 is known."""
    predictions = Predictions()
    predictions.add(predict(0, "x"))
    predictions.ranks(evaluation(1))
    predictions.unscored.clear()
    return predictions


def test_a_prediction_is_scored_on_the_next_event_alone(predictions: Predictions) -> None:
    predictions.add(predict(1, "a", "b"))
    assert predictions.ranks(evaluation(2, "b", user_id="other")) == {}
    assert predictions.ranks(evaluation(5, "b")) == {"theirs": 2}
    assert predictions.ranks(evaluation(6, "a")) == {}
    assert predictions.unscored == []


def test_an_item_outside_the_list_is_a_miss(predictions: Predictions) -> None:
    predictions.add(predict(1, "a", "b"))
    assert predictions.ranks(evaluation(2, "c")) == {"theirs": 0}


def test_a_prediction_that_comes_after_the_next_event_is_late(predictions: Predictions) -> None:
    predictions.ranks(evaluation(2, "a"))
    predictions.add(predict(1, "a"))
    assert predictions.unscored == [("theirs", "late")]
    assert predictions.ranks(evaluation(3, "a")) == {}


def test_a_prediction_after_something_that_is_no_event_of_the_partition_is_unmatched(predictions: Predictions) -> None:
    first = predict(1, "a")
    predictions.ranks(evaluation(2, "a"))
    predictions.add(msgspec.structs.replace(first, after_event_id="nope"))
    assert predictions.unscored == [("theirs", "unmatched")]


def test_a_prediction_may_come_before_the_evaluation_of_the_event_that_it_follows(predictions: Predictions) -> None:
    predictions.add(predict(2, "b"))
    assert predictions.ranks(evaluation(2, "a")) == {}
    assert predictions.ranks(evaluation(3, "b")) == {"theirs": 1}


def test_a_prediction_for_another_event_than_the_one_before_is_unmatched(predictions: Predictions) -> None:
    predictions.add(predict(2, "a"))
    assert predictions.ranks(evaluation(4, "a")) == {}, "the event at offset 2 was not this user's"
    assert predictions.unscored == [("theirs", "unmatched")]


def test_the_later_one_of_two_predictions_counts(predictions: Predictions) -> None:
    predictions.add(predict(1, "a"))
    predictions.add(predict(1, "b", "a"))
    assert predictions.unscored == [("theirs", "replaced")]
    assert predictions.ranks(evaluation(2, "a")) == {"theirs": 2}


def test_what_waits_and_the_number_of_systems_are_bounded(
    predictions: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    monkeypatch.setattr(module, "MAX_USERS", 2)
    for user in "abcd":
        predictions.add(predict(0, "x", user=user))
        predictions.ranks(evaluation(0, user_id=user))
    assert predictions.unscored == [("theirs", "dropped")] * 2
    assert len(predictions._last_ids) == 2
    for number in range(20):
        predictions.add(predict(1, "a", system=f"s-{number}"))
    predictions.add(predict(1, "a", system="model"))
    refused = [reason for system, reason in predictions.unscored if system == "other"]
    assert refused == ["refused"] * (20 - module.MAX_SYSTEMS + 1 + 1)


def test_the_metrics_show_the_system_beside_the_model_on_the_same_events() -> None:
    boards = BundleScoreboards(1_000, 5_000)

    def send(offset: int, item: str, rank: int) -> None:
        value = msgspec.json.encode(evaluation(offset, item, rank))
        boards.observe([Record("evaluation", 0, offset, offset, b"u", value)])

    send(1, "a", 3)
    for offset, item in ((2, "a"), (3, "b"), (4, "c")):
        value = msgspec.json.encode(predict(offset - 1, "a", "b"))
        boards.predict(Record("predictions", 0, offset, offset, b"u", value))
        send(offset, item, 1)
    boards.predict(Record("predictions", 0, 9, 9, b"u", msgspec.json.encode(predict(1, "a"))))
    boards.predict(Record("predictions", 0, 10, 10, b"u", b'{"system": "a b"}'))
    [metrics] = boards.advance(5_000)
    assert metrics.events == 4
    assert metrics.compared["theirs"].events == 2, "nothing is known of the user before the first prediction"
    assert metrics.metrics["theirs"]["recall@20"] == 0.5
    assert metrics.metrics["theirs"]["mrr@20"] == 0.25
    assert metrics.compared["theirs"].model["mrr@20"] == 1.0
    assert metrics.predictions == {"theirs": {"late": 1, "unmatched": 1}}
    assert boards.snapshot().undecodable == 1


def test_predictions_of_an_interval_without_events_count_in_the_next_interval_with_events() -> None:
    boards = BundleScoreboards(1_000, 5_000)

    def send(offset: int, time_ms: int) -> None:
        boards_ended.extend(
            boards.observe([Record("evaluation", 0, offset, time_ms, b"u", msgspec.json.encode(evaluation(offset)))])
        )

    boards_ended: list[MetricsEvent] = []
    send(1, 0)
    boards.predict(Record("predictions", 0, 1, 1, b"u", msgspec.json.encode(predict(1, "a", system="model"))))
    boards_ended += boards.advance(1_000)
    boards.predict(Record("predictions", 0, 2, 1_100, b"u", msgspec.json.encode(predict(1, "a", system="model"))))
    boards_ended += boards.advance(5_000)
    boards_ended += boards.advance(8_000)
    send(2, 9_000)
    boards_ended += boards.advance(20_000)
    send(3, 21_000)
    boards_ended += boards.advance(30_000)
    assert [metrics.predictions for metrics in boards_ended] == [
        {"other": {"refused": 1}},
        {"other": {"refused": 1}},
        {},
    ]
    assert boards.snapshot().read == 5
    assert boards.snapshot().records == 3


def test_an_erased_user_is_forgotten_once_under_the_bundle_of_the_erasure() -> None:
    boards, frozen = BundleScoreboards(1_000, 5_000), FakeFrozen()

    def send(offset: int, bundle_id: str = "gru-1") -> None:
        value = msgspec.json.encode(evaluation(offset, "a", bundle_id=bundle_id))
        boards.observe([Record("evaluation", 0, offset, offset, b"u", value)])

    def wait(after: int) -> None:
        boards.predict(Record("predictions", 0, after, after, b"u", msgspec.json.encode(predict(after, "a"))))

    def kept(bundle_id: str) -> tuple[int, int]:
        predictions = boards._boards[bundle_id]._predictions
        return len(predictions._waiting), len(predictions._last_ids)

    send(1)
    send(1, "gru-2")
    wait(1)
    send(2)
    send(2, "gru-2")
    wait(2)
    assert kept("gru-1") == kept("gru-2") == (1, 1)
    erasure = SimpleNamespace(topic="updates", partition=0, offset=7, timestamp=3, key=b"gru-1/u", value=None)
    boards.update(erasure, frozen)
    assert (kept("gru-1"), kept("gru-2")) == ((0, 0), (1, 1))
    send(8)
    wait(8)
    boards.update(erasure, frozen)
    assert kept("gru-1") == (1, 1), "the user has come back, and a restarted monitor reads the topic again"
    assert frozen.forgotten == ["u", "u"]


def test_the_id_of_a_record_stands_for_all_its_events_and_the_id_of_a_line_for_one_line(
    predictions: Predictions,
) -> None:
    first = evaluation(2, "a")
    lines = [msgspec.structs.replace(first, id=f"{first.id}.{line}") for line in (1, 2)]
    predictions.add(predict(2, "z"))  # by an update, which names the record and follows all its events
    for event in (first, *lines):
        assert predictions.ranks(event) == {}
    assert predictions.ranks(evaluation(3, "z")) == {"theirs": 1}
    after_line = Prediction("theirs", "u", "events-0-0-4.1", ["y"])
    predictions.add(after_line)
    fourth = evaluation(4, "x")
    for event in (fourth, msgspec.structs.replace(fourth, id=f"{fourth.id}.1")):
        assert predictions.ranks(event) == {}
    assert predictions.ranks(msgspec.structs.replace(fourth, id=f"{fourth.id}.2", item_id="y")) == {"theirs": 1}
    predictions.add(predict(4, "w"))
    assert predictions.unscored == []
    predictions.add(Prediction("theirs", "u", "events-0-0-4.1", ["y"]))
    assert predictions.unscored == [("theirs", "late")]
    assert predictions.ranks(evaluation(5, "w")) == {"theirs": 1}
