"""A training chooses the weights of hybrid scores on its validation part, and an export takes them."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from encoder.data.event_log import EventLog
from encoder.data.sequences import Sequences
from encoder.data.simulator import Shop
from encoder.metrics.followers.companions import Companions
from encoder.metrics.hybrid.choice import GRID, Choice
from encoder.metrics.hybrid.parts import RANKINGS
from encoder.metrics.hybrid.questions import cart_cases
from encoder.metrics.hybrid.scores import WEIGHTS, HybridWeights
from encoder.metrics.ranking import ranking_metrics
from encoder.training.calibration.hybrid_fit import Counts, choose_hybrid_weights
from encoder.training.checkpoints import checkpoint
from encoder.training.evaluation import model_and_masked_ranks
from encoder.training.initialization import FromScratch
from encoder.training.settings import TrainingSettings
from encoder.training.train import Trained, train
from export.runtime.bundle import Bundle
from streams import cli

torch.set_num_threads(1)  # a second thread only slows down models of this size
SMALL = TrainingSettings(width=16, hidden=16, max_epochs=1, events_per_step=128)


@pytest.fixture(scope="module")
def log() -> EventLog:
    return Shop(7, 60, 40).simulate(3_000)


@pytest.fixture(scope="module")
def trained(log: EventLog) -> Trained:
    return train(log, SMALL)


@pytest.fixture
def saved(log: EventLog, trained: Trained, tmp_path: Path) -> Path:
    checkpoint.save(trained, log, tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_figures_are_those_of_the_ranks_of_an_evaluation(log: EventLog) -> None:
    training, _ = log.split(0.5)
    start = FromScratch()
    vocabulary = start.vocabulary(log, SMALL)
    items = len(vocabulary.items)
    whole, known = Sequences.from_log(log, vocabulary), Sequences.from_log(training, vocabulary)
    is_scored = whole.row >= len(training)
    model = start.model(log, vocabulary, known, SMALL)
    counts = Counts(Companions.count(known, items), start.baselines(known, items).popularity)
    found = choose_hybrid_weights(model, vocabulary, whole, is_scored, counts, 1.0)
    ranks, masked = (np.zeros(len(whole.item), np.int64) for _ in range(2))
    ranks[is_scored], masked[is_scored] = model_and_masked_ranks(model, whole, is_scored)
    home = is_scored & (whole.history_lengths() > 0)
    cart = cart_cases(whole, np.flatnonzero(is_scored), vocabulary.actions).position
    cart = cart[is_scored[cart]]
    assert found["whole"]["home"].ranked_by["model"] == pytest.approx(ranking_metrics(ranks[home]))
    assert found["whole"]["cart"].ranked_by["model"] == pytest.approx(ranking_metrics(masked[cart]))
    assert len(cart) > 5
    is_known = counts.popularity[whole.item] > 0
    assert 0 < is_known[home].sum() < home.sum()
    assert found["trained"]["home"].ranked_by["model"]["n"] == is_known[home].sum()
    assert set(found["trained"]["home"].ranked_by) == set(RANKINGS)
    for of_catalogue in found.values():
        home_choice = of_catalogue["home"]
        assert home_choice.is_fitted
        assert home_choice.ranked_by["hybrid"]["ndcg@20"] > home_choice.ranked_by["model"]["ndcg@20"]
        assert HybridWeights(**home_choice.weights) in GRID
        assert not of_catalogue["cart"].is_fitted  # too few questions
        assert of_catalogue["cart"].weights == WEIGHTS["cart"]


def test_a_model_without_recent_items_has_no_choice(log: EventLog) -> None:
    without = msgspec.structs.replace(SMALL, recent_items=False, counted_vectors=False)
    vocabulary = FromScratch().vocabulary(log, without)
    whole = Sequences.from_log(log, vocabulary)
    model = FromScratch().model(log, vocabulary, whole, without)
    items = len(vocabulary.items)
    counts = Counts(Companions.count(whole, items), FromScratch().baselines(whole, items).popularity)
    assert choose_hybrid_weights(model, vocabulary, whole, whole.row > 100, counts, 1.0) == {}


def with_choices(saved: Path, trained: float, whole: float) -> None:
    """Let the checkpoint have chosen these weights of co-occurrence."""
    description = msgspec.json.decode((saved / "checkpoint.json").read_bytes())
    for catalogue, co in (("trained", trained), ("whole", whole)):
        description["hybrid"][catalogue]["home"]["weights"] = {"co": co, "content": 0.25}
    (saved / "checkpoint.json").write_bytes(msgspec.json.encode(description))


def export(saved: Path, *arguments: str) -> Bundle:
    out = saved.parent / "bundle"
    assert cli.main(["export", str(saved), "--out", str(out), "--overwrite", *arguments]) == 0
    return Bundle.load(out)


def test_a_bundle_has_the_weights_that_fit_its_catalogue(
    saved: Path, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoint.load(saved).description.hybrid == trained.hybrid
    with_choices(saved, 8.0, 16.0)
    manifest = export(saved).manifest
    assert manifest.hybrid == {"home": {"co": 8.0, "content": 0.25}, "cart": WEIGHTS["cart"]}
    told = manifest.metrics["hybrid"]
    assert told["catalogue"] == "trained"
    assert told["home"]["ranked_by"] == trained.hybrid["trained"]["home"].ranked_by
    shown = " ".join(capsys.readouterr().out.split())
    assert "hybrid score, home: weights co 8, content 0.25; best on 300 questions of the validation part" in shown
    assert f"Recall@20 / MRR@20 there: hybrid {told['home']['ranked_by']['hybrid']['recall@20']:.4f}" in shown
    assert "hybrid score, cart: weights co 4, content 2; defaults, because the validation part has only" in shown
    log = tmp_path / "more.jsonl"
    event = {"user_id": "u", "item_id": "new-item", "action": "view", "event_time_ms": 1, "category": "c"}
    log.write_text(json.dumps({"event_id": "e", **event}) + "\n")
    manifest = export(saved, "--items", str(log)).manifest
    assert (manifest.hybrid["home"]["co"], manifest.metrics["hybrid"]["catalogue"]) == (16.0, "whole")


def test_given_weights_replace_those_of_a_scenario(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_choices(saved, 8.0, 16.0)
    manifest = export(saved, "--hybrid-weights", "cart=0,.5").manifest
    assert manifest.hybrid == {"home": {"co": 8.0, "content": 0.25}, "cart": {"co": 0.0, "content": 0.5}}
    assert "weights co 0, content 0.5; given; co 4, content 2 would be defaults" in capsys.readouterr().out
    for wrong in ("home", "home=1", "home=1,-2", "home=1,nan", "new=1,2", "home=a,b"):
        assert cli.main(["export", str(saved), "--out", str(saved.parent / "b"), "--hybrid-weights", wrong]) == 1
        assert f"--hybrid-weights {wrong}: write SCENARIO=CO,CONTENT" in capsys.readouterr().err


def test_a_checkpoint_of_an_earlier_version_gives_the_default_weights(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    description = msgspec.json.decode((saved / "checkpoint.json").read_bytes())
    del description["hybrid"]
    (saved / "checkpoint.json").write_bytes(msgspec.json.encode(description))
    manifest = export(saved).manifest
    assert manifest.hybrid == WEIGHTS
    assert "hybrid" not in manifest.metrics
    assert "no validation part has chosen them" in capsys.readouterr().out


def test_a_choice_without_questions_survives_its_checkpoint() -> None:
    empty = Choice({"co": 4.0, "content": 2.0}, False, {name: {"n": 0} for name in RANKINGS})
    assert msgspec.json.decode(msgspec.json.encode(empty), type=Choice) == empty


def test_an_evaluation_tells_the_weights_and_the_figures_that_chose_them(
    saved: Path, log: EventLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, history = export(saved), tmp_path / "history.jsonl"
    names = ("event_id", "user_id", "item_id", "action", "event_time_ms")
    begin_ms = int(log.time_ms[-1])
    events = [(f"e{n}", f"user-{n % 5:05}", bundle.vocabulary.items[n % 9], "view", begin_ms + n) for n in range(60)]
    history.write_text("".join(json.dumps(dict(zip(names, event, strict=True))) + "\n" for event in events))
    capsys.readouterr()
    arguments = ["--events", str(history), "--rest", "0.5", "--scenarios", "--report", str(tmp_path / "page.html")]
    assert cli.main(["evaluate", "--bundle", str(bundle.path), *arguments]) == 0
    home = bundle.manifest.hybrid["home"]
    line = f"hybrid score, home: weights co {home['co']:g}, content {home['content']:g}; best on 300 questions of"
    assert line in capsys.readouterr().out
    assert line in (tmp_path / "page.html").read_text()
    assert json.loads((tmp_path / "page.json").read_text())["scenarios"]["home"]["weights"] == home
