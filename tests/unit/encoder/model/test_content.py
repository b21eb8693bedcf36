"""Features of events and items: from a log into a model, its graphs and its catalogue, and into the live path."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
import pytest
import torch

from encoder.data.events import BehaviorEvent
from encoder.data.feature_extraction import event_features, item_features, known_features, price_boundaries
from encoder.data.features import BRAND, CATEGORY, EVENT_FEATURES, HOUR_MS, ITEM_FEATURES, PRICE, TIME, WEEK_MS
from encoder.data.sequences import Sequences
from encoder.data.vocabulary import Vocabulary
from encoder.errors import InputError
from encoder.model.content import WeekHours
from encoder.model.new_items import extend
from encoder.model.user_model import ModelConfig, UserModel
from encoder.training import checkpoint
from encoder.training.evaluation import model_ranks
from encoder.training.fit import Trained, train
from encoder.training.settings import TrainingSettings
from export import parity
from export.exporter import export_model
from export.runtime.bundle import MANIFEST, Bundle, Manifest, bundle_id, hash_files
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper
from streams.cli import main
from streams.engine.features import FeatureReader
from tests.support.content import (
    KINDS,
    kinds_log,
    log_with_content,
    model_with_all_features,
    vocabulary_with_all_features,
)
from tests.support.logs import event_log

NAN = float("nan")


SMALL = TrainingSettings(width=16, hidden=16, max_epochs=3, events_per_step=64, window=8)


@pytest.fixture(autouse=True, scope="module")
def _short_proof() -> Iterator[None]:
    """The proof of every export takes seconds at its full length, which test_export.py runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "STEPS", 100)
        yield


@pytest.fixture(scope="module")
def trained() -> Trained:
    """Enough events, and items as new, that it leans on content whatever the seed: of eight seeds the least one has .67
    and 6 of 9 where the test of unseen items asks for .5 and 5."""
    return train(kinds_log(6, users=120), msgspec.structs.replace(SMALL, max_epochs=8, id_dropout=0.3))


def favourite_kinds(model: UserModel, vocabulary: Vocabulary, representation: torch.Tensor) -> list[str]:
    """Of each representation (B, D), the kind whose items score highest on average."""
    with torch.no_grad():
        scores = (representation[:, : model.config.width] @ model.item_vectors().T).numpy()
    means = [scores[:, [name.startswith(kind) for name in vocabulary.items]].mean(axis=1) for kind in KINDS]
    return [KINDS[place] for place in np.argmax(means, axis=0).tolist()]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export_model(
        model_with_all_features(), vocabulary_with_all_features(), tmp_path_factory.mktemp("bundle") / "everything"
    )


LOG = log_with_content(
    [("ann", "a", "view", 0), ("bob", "b", "view", 10), ("ann", "c", "view", 20), ("ann", "a", "view", WEEK_MS)],
    {"a": ("cups", "acme", 2.0), "b": (None, None, NAN), "c": ("pots", None, 30.0)},
)


def test_a_vocabulary_names_supported_categories_and_brands() -> None:
    assert (Vocabulary.from_log(LOG, 1).categories, Vocabulary.from_log(LOG, 1).brands) == (["cups", "pots"], ["acme"])
    assert Vocabulary.from_log(LOG, 2).categories == ["cups"]


def test_features_of_events_mark_what_is_missing_or_unknown() -> None:
    features = event_features(LOG, Vocabulary.from_log(LOG, 2))
    assert features[CATEGORY].tolist() == [1, 0, 0, 1]
    assert features[BRAND].tolist() == [1, 0, 0, 1]
    np.testing.assert_array_equal(features[PRICE], np.array([2, NAN, 30, 2], np.float32))
    assert features[TIME].tolist() == [0, 10, 20, WEEK_MS]


def test_an_item_is_what_the_log_says_last() -> None:
    later = replace(LOG, category=np.array([0, -1, 1, 1], np.int32), price=np.array([2, NAN, 30, NAN]))
    features = item_features(later, Vocabulary(["c", "a", "b"], ["view"], categories=["cups", "pots"], brands=["acme"]))
    assert features[CATEGORY].tolist() == [0, 2, 2, 0]
    np.testing.assert_array_equal(features[PRICE], np.array([NAN, 30, 2, NAN], np.float32))


def test_prices_are_cut_into_equal_parts() -> None:
    log = replace(kinds_log(3), price=np.arange(600, dtype=float))
    bounds = np.array(price_boundaries(log))
    assert np.bincount(np.searchsorted(bounds, log.price, side="right")).tolist() == pytest.approx([37.5] * 16, abs=1)
    assert price_boundaries(replace(log, price=np.full(600, 5.0))) == ()
    assert price_boundaries(event_log([("ann", "a", "view", 0)])) == ()


def test_a_model_looks_only_at_what_its_log_has() -> None:
    assert known_features(LOG, Vocabulary.from_log(LOG, 1)) == EVENT_FEATURES
    assert known_features(LOG[:3], Vocabulary.from_log(LOG, 1)) == ITEM_FEATURES  # less than a week
    plain = event_log([(f"u{t % 7}", f"i{t % 3}", "view", t) for t in range(100)])
    config = train(plain, SMALL).model.config
    assert (config.features, config.price_boundaries) == ((), ())
    with pytest.raises(InputError, match="less than a week"):
        train(plain, msgspec.structs.replace(SMALL, week_hours=True))


def test_a_step_with_features_is_what_the_sequence_form_computes() -> None:
    model = model_with_all_features()
    generator = torch.Generator().manual_seed(1)
    shape = (3, 40)
    item, action = (torch.randint(0, high, shape, generator=generator) for high in (31, 4))
    gap_ms = torch.randint(-1, 10**9, shape, generator=generator)
    features = {
        TIME: torch.randint(0, 10**12, shape, generator=generator),
        CATEGORY: torch.randint(0, 5, shape, generator=generator),
        BRAND: torch.randint(0, 6, shape, generator=generator),
        PRICE: torch.where(torch.rand(shape, generator=generator) < 0.3, NAN, torch.rand(shape) * 120),
    }
    state = model.initial_state(3)
    with torch.no_grad():
        expected, last = model.sequence(item, action, gap_ms, state, features)
        for t in range(shape[1]):
            at = {name: values[:, t] for name, values in features.items()}
            state, representation = model.step(item[:, t], action[:, t], gap_ms[:, t].contiguous(), state, at)
            np.testing.assert_allclose(representation, expected[:, t], rtol=0, atol=1e-5)
    np.testing.assert_allclose(state, last, rtol=0, atol=1e-5)


@pytest.mark.parametrize("feature", EVENT_FEATURES)
def test_the_graph_s_step_is_the_model_s_at_every_edge_of_a_feature(feature: str, bundle: Bundle) -> None:
    model = model_with_all_features()
    bounds = np.array([0.0, *model.config.price_boundaries], np.float32)
    hours_ms = np.arange(170) * HOUR_MS
    edges: dict[str, Any] = {
        TIME: np.concatenate([hours_ms, hours_ms + HOUR_MS - 1, [1_790_000_000_000]]),
        CATEGORY: np.arange(5),
        BRAND: np.arange(6),
        PRICE: np.concatenate([bounds, np.nextafter(bounds, np.float32(-9)), [np.nan, np.inf, 1e30]]).astype(
            np.float32
        ),
    }
    n = len(edges[feature])
    features = {TIME: np.zeros(n, np.int64), CATEGORY: np.zeros(n, np.int64), BRAND: np.zeros(n, np.int64)}
    features = {**features, PRICE: np.full(n, np.nan, np.float32), feature: edges[feature]}
    action, gap_ms = np.arange(n) % 4, np.full(n, -1)
    state = np.random.default_rng(0).normal(size=(1, 24)).astype(np.float32).repeat(n, axis=0)
    for item in (np.zeros(n, np.int64), np.arange(n) % 31):
        got = Stepper(bundle).step(StepInputs(item, action, gap_ms, features), state)
        with torch.no_grad():
            inputs = [torch.from_numpy(value) for value in (item, action, gap_ms, state)]
            expected = model.step(*inputs, {name: torch.from_numpy(value) for name, value in features.items()})
        for one, other in zip(got, expected, strict=True):
            np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=1e-5)


def test_every_value_of_a_feature_has_a_step_of_its_own(bundle: Bundle) -> None:
    distinct = {TIME: 168, CATEGORY: 5, BRAND: 6, PRICE: 5}
    values: dict[str, Any] = {
        TIME: np.arange(170) * HOUR_MS,
        CATEGORY: np.arange(5),
        BRAND: np.arange(6),
        PRICE: np.array([np.nan, 0, 1.5, 2, 9.99, 99, 100, np.inf], np.float32),
    }
    stepper = Stepper(bundle)
    for name, of in values.items():
        n = len(of)
        features = {TIME: np.zeros(n, np.int64), CATEGORY: np.zeros(n, np.int64), BRAND: np.zeros(n, np.int64)}
        features = {**features, PRICE: np.full(n, np.nan, np.float32), name: of}
        for item, count in ((0, distinct[name]), (1, 168 if name == TIME else 1)):  # a known item is what it is
            at = np.full(n, item)
            inputs = StepInputs(at, np.ones_like(at), at - 1, features)
            _, after = stepper.step(inputs, np.zeros((n, 24), np.float32))
            assert len(np.unique(after.round(5), axis=0)) == count, (name, item)


def test_hours_count_from_monday_in_utc() -> None:
    monday_ms = 1_795_996_800_000  # 2026-11-30 00:00
    rows = WeekHours(4).rows(torch.tensor([monday_ms - 1, monday_ms, monday_ms + 25 * HOUR_MS]))
    assert rows.tolist() == [167, 0, 25]


def test_a_bundle_asks_for_its_features_alone(bundle: Bundle, tmp_path: Path) -> None:
    def inputs(of: Bundle) -> list[str]:
        session = ort.InferenceSession(of.path / "step.onnx", providers=["CPUExecutionProvider"])
        return [value.name for value in session.get_inputs()]

    assert bundle.features == EVENT_FEATURES
    assert inputs(bundle) == ["item", "action", "gap_ms", *EVENT_FEATURES, "state"]
    plain = export_model(
        UserModel(ModelConfig(items=30, actions=3)), vocabulary_with_all_features(), tmp_path / "plain"
    )
    assert plain.features == ()
    assert inputs(plain) == ["item", "action", "gap_ms", "state"]


def test_a_bundle_from_before_features_still_loads(tmp_path: Path) -> None:
    made = export_model(UserModel(ModelConfig(items=30, actions=3)), vocabulary_with_all_features(), tmp_path / "old")
    content = msgspec.json.decode((made.path / MANIFEST).read_bytes())
    assert "features" not in content
    names = msgspec.to_builtins(made.vocabulary)
    del names["categories"], names["brands"]
    (made.path / "vocabulary.json").write_bytes(msgspec.json.encode(names))
    manifest = msgspec.convert({**content, "files": hash_files(made.path)}, Manifest)
    manifest = msgspec.structs.replace(manifest, bundle_id=bundle_id(manifest))
    (made.path / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    assert Bundle.load(made.path).features == ()


def test_a_checkpoint_from_before_features_still_loads(tmp_path: Path) -> None:
    log = event_log([(f"u{t % 7}", f"i{t % 3}", "view", t) for t in range(100)])
    checkpoint.save(train(log, SMALL), log, tmp_path)
    content = msgspec.json.decode((tmp_path / "checkpoint.json").read_bytes())
    for name in ("week_hours", "content", "categories", "brands", "price_boundaries", "id_dropout"):
        del content["model"][name]
        content["settings"].pop(name, None)
        content["vocabulary"].pop(name, None)
    (tmp_path / "checkpoint.json").write_bytes(msgspec.json.encode(content))
    assert checkpoint.load(tmp_path).model.config.features == ()


def test_a_checkpoint_with_content_is_read_back_as_it_was(trained: Trained, tmp_path: Path) -> None:
    checkpoint.save(trained, kinds_log(6), tmp_path)
    model = checkpoint.load(tmp_path).model
    assert torch.equal(model.item_vectors(), trained.model.item_vectors())


def test_an_item_that_training_has_not_seen_is_found_by_its_content(trained: Trained) -> None:
    wider = kinds_log(9)
    model, vocabulary = extend(trained.model, trained.vocabulary, wider)
    assert vocabulary.items[: len(trained.vocabulary.items)] == trained.vocabulary.items
    assert sorted(vocabulary.items[len(trained.vocabulary.items) :]) == [f"{k}{n}" for k in KINDS for n in (6, 7, 8)]
    assert torch.equal(model.item_vectors()[: trained.model.config.items], trained.model.item_vectors())
    sequences = Sequences.from_log(wider, vocabulary)
    is_new = (sequences.item > len(trained.vocabulary.items)) & (sequences.history_lengths() > 0)
    ranks = model_ranks(model, sequences, is_new)
    assert (ranks <= 9).mean() > 0.5  # 9 of the 27 are of the kind: by chance it were a third, by popularity none
    kinds = [kind for kind in KINDS for _ in range(3)]
    zeros = torch.zeros(9, 1, dtype=torch.int64)
    new = torch.tensor([vocabulary.items.index(f"{kind}{6 + n % 3}") + 1 for n, kind in enumerate(kinds)])[:, None]
    features = {CATEGORY: zeros, BRAND: zeros, PRICE: torch.full((9, 1), NAN)}
    with torch.no_grad():
        after, _ = model.sequence(new, zeros + 1, zeros - 1, model.initial_state(9), features)
    liked = favourite_kinds(model, vocabulary, after[:, 0])
    assert sum(map(str.__eq__, liked, kinds)) >= 5  # it counts as a step, too: by chance it were 3


def test_an_item_outside_the_catalogue_counts_by_what_its_event_says(trained: Trained) -> None:
    model, vocabulary = trained.model, trained.vocabulary
    zeros = torch.zeros(3, 1, dtype=torch.int64)
    category = torch.tensor([vocabulary.categories.index(kind) + 1 for kind in KINDS])[:, None]
    features = {CATEGORY: category, BRAND: zeros, PRICE: torch.full((3, 1), NAN)}
    with torch.no_grad():
        after, _ = model.sequence(zeros, zeros + 1, zeros - 1, model.initial_state(3), features)
    assert favourite_kinds(model, vocabulary, after[:, 0]) == list(KINDS)


def test_an_item_of_unknown_content_is_where_the_unknown_item_is(trained: Trained) -> None:
    log = log_with_content(
        [("u", "x", "view", 0), ("u", "y", "view", 1)], {"x": (None, None, NAN), "y": ("lamp", "no", NAN)}
    )
    model, vocabulary = extend(trained.model, trained.vocabulary, log)
    assert vocabulary.items[-2:] == ["x", "y"]
    own = model.item_table()[-2:] - trained.model.item_table()[:1]
    assert torch.equal(own[:, 0], torch.zeros(2))  # as popular as items are on average
    assert 0.1 < float(torch.dist(own[0], own[1]).detach()) < 3  # and yet not one and the same


def test_an_extended_model_is_exported_and_proven(trained: Trained, tmp_path: Path) -> None:
    model, vocabulary = extend(trained.model, trained.vocabulary, kinds_log(9))
    made = export_model(model, vocabulary, tmp_path / "b")
    assert made.manifest.items == 27
    assert made.manifest.parity["rank_errors"] == 0
    np.testing.assert_array_equal(made.item_vectors[:, : model.config.width], model.item_table().detach().numpy())


def test_ranks_are_those_of_the_whole_vectors_also_amid_training(trained: Trained) -> None:
    sequences = Sequences.from_log(kinds_log(6), trained.vocabulary)
    expected = model_ranks(trained.model, sequences)
    trained.model.train().begin_step()
    assert model_ranks(trained.model, sequences).tolist() == expected.tolist()


def test_export_takes_in_the_items_of_a_log(trained: Trained, tmp_path: Path) -> None:
    checkpoint.save(trained, kinds_log(6), tmp_path / "c")
    lines = [msgspec.json.encode(event) for event in kinds_log(9).events()]
    (tmp_path / "shop.jsonl").write_bytes(b"\n".join(lines))
    arguments = ["export", str(tmp_path / "c"), "--items", str(tmp_path / "shop.jsonl"), "--out", str(tmp_path / "b")]
    assert main([*arguments, "--gpu"]) == 0
    made = Bundle.load(tmp_path / "b")
    assert made.has_gpu_graphs
    assert set(made.item_index) == {f"{kind}{n}" for kind in KINDS for n in range(9)}
    assert made.features == ITEM_FEATURES


def test_a_model_of_ids_alone_takes_no_new_items() -> None:
    model, vocabulary = UserModel(ModelConfig(items=1, actions=1)), Vocabulary(["a"], ["view"])
    with pytest.raises(InputError, match="by their ids alone"):
        extend(model, vocabulary, LOG)


def test_live_events_are_read_as_the_log_is(bundle: Bundle) -> None:
    what: list[dict[str, Any]] = [
        {"category": "category-2", "price": 12.3, "attributes": {BRAND: "brand-5"}},
        {"category": "none such", "price": 1e300, "attributes": {BRAND: 7}},
        {"attributes": {"colour": "red"}},
        {},
    ]
    events = [
        BehaviorEvent(event_id="e", user_id="u", item_id="i", action="view", event_time_ms=1_000 * n, **fields)
        for n, fields in enumerate(what)
    ]
    features = FeatureReader(bundle).of(events)
    assert tuple(features) == EVENT_FEATURES
    assert features[TIME].tolist() == [0, 1_000, 2_000, 3_000]
    assert features[CATEGORY].tolist() == [2, 0, 0, 0]
    assert features[BRAND].tolist() == [5, 0, 0, 0]
    np.testing.assert_array_equal(features[PRICE], np.array([12.3, np.inf, NAN, NAN], np.float32))
    assert [values.dtype for values in features.values()] == [np.int64, np.int64, np.int64, np.float32]
