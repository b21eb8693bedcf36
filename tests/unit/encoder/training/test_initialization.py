"""Training that continues from a model: known items keep their rows, and new items get sensible ones."""

import json
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from encoder.data.event_log import EventLog
from encoder.data.loaders import load_log
from encoder.data.sequences import Sequences
from encoder.errors import InputError
from encoder.metrics.baselines import Baselines
from encoder.training.checkpoints import checkpoint
from encoder.training.checkpoints.checkpoint_files import trained_settings
from encoder.training.evaluation import evaluate
from encoder.training.initialization import FromTrainedModel
from encoder.training.settings import CONTINUED_MAX_EPOCHS, TrainingSettings
from encoder.training.train import Trained, train, train_on_all
from encoder.training.validation import SELECTION_METRIC, Validation
from export.runtime.bundle import FILES, GPU_FILES, Bundle
from streams import cli
from tests.support.logs import event_log

SMALL = TrainingSettings(width=16, hidden=16, max_epochs=4, events_per_step=64, window=8)
ITEMS = 6


def round_log(first: int, count: int, *, start_ms: int = 0, action: str = "view", users: int = 60) -> EventLog:
    """Return a log in which each user views the items i<first> to i<first + count - 1> in turn."""
    rows = [
        (f"u{u}", f"i{first + (u + t) % count}", action, start_ms + 1_000 * t) for t in range(12) for u in range(users)
    ]
    return event_log(rows)


@pytest.fixture(scope="module")
def base() -> Trained:
    return train(round_log(0, ITEMS), SMALL)


def start_of(trained: Trained) -> FromTrainedModel:
    return FromTrainedModel(trained.model, trained.vocabulary, trained.baselines)


def test_known_names_keep_their_places_in_the_vocabulary_and_new_names_follow(base: Trained) -> None:
    newer = round_log(4, 4, action="cart")  # the items i4 to i7
    vocabulary = start_of(base).vocabulary(newer, SMALL)
    assert vocabulary.items[:ITEMS] == base.vocabulary.items
    assert sorted(vocabulary.items[ITEMS:]) == ["i6", "i7"]
    assert vocabulary.actions == ["view", "cart"]
    assert base.vocabulary.actions == ["view"]


def test_before_the_first_step_known_items_have_the_weights_of_the_model(base: Trained) -> None:
    newer = round_log(4, 4, action="cart")
    start = start_of(base)
    vocabulary = start.vocabulary(newer, SMALL)
    model = start.model(newer, vocabulary, Sequences.from_log(newer, vocabulary), SMALL).eval()
    rows = ITEMS + 1
    assert base.model.recent is not None
    assert torch.equal(model.items.weight[:rows], base.model.items.weight)
    unscaled = base.model.following.weight / base.model.recent.scale
    torch.testing.assert_close(model.following.weight[:rows], unscaled, rtol=1e-6, atol=0)
    assert torch.equal(model.state_dict()["heads.action.weight"][:2], base.model.state_dict()["heads.action.weight"])
    np.testing.assert_array_equal(model.item_table()[:rows].detach(), base.model.item_table().detach())


def test_a_new_item_starts_near_its_neighbours_and_with_its_popularity() -> None:
    # Where six items come in turn, each item is within ten events of each other one, so counted vectors are much alike.
    base = train(round_log(0, ITEMS), msgspec.structs.replace(SMALL, counted_vectors=False))
    # Item i8 comes between i0 and i1. Item i9 comes between i3 and i4, twenty times less often.
    rows = [
        (f"v{u}-{n}", item, "view", 1_000 * t + u)
        for n, (users, items) in enumerate(((80, ("i0", "i8", "i1")), (4, ("i3", "i9", "i4"))))
        for u in range(users)
        for t, item in enumerate(items)
    ]
    newer = event_log(sorted(rows, key=lambda row: row[3]))
    start = start_of(base)
    vocabulary = start.vocabulary(newer, SMALL)
    torch.manual_seed(0)
    model = start.model(newer, vocabulary, Sequences.from_log(newer, vocabulary), SMALL)
    model.fold_neighbours()
    vectors = {name: model.items.weight[1 + place].detach() for place, name in enumerate(vocabulary.items)}

    def closeness(one: str, other: str) -> float:
        return float(torch.cosine_similarity(vectors[one][1:], vectors[other][1:], dim=0))

    assert closeness("i8", "i0") + closeness("i8", "i1") > closeness("i8", "i3") + closeness("i8", "i4") + 0.3
    assert vectors["i8"][0] > vectors["i9"][0]


def test_the_model_learns_new_items_and_keeps_known_ones(base: Trained) -> None:
    newer = round_log(5, 5)  # the known item i5 and the new items i6 to i9
    mixed = round_log(4, 4, users=40)
    for log in (newer, mixed):
        updated = train(log, msgspec.structs.replace(SMALL, max_epochs=12), initialization=start_of(base))
        score = evaluate(updated.model, updated.vocabulary, updated.baselines, log)["warm"]["model"]["mrr@20"]
        unknown = evaluate(base.model, base.vocabulary, base.baselines, log)["warm"]["model"]["mrr@20"]
        assert score > unknown + 0.3


def test_counts_of_the_older_and_the_newer_log_are_added() -> None:
    older, newer = round_log(0, 6), round_log(4, 4)
    base = train(older, msgspec.structs.replace(SMALL, max_epochs=1))
    updated = train(newer, msgspec.structs.replace(SMALL, max_epochs=1), initialization=start_of(base))
    vocabulary = updated.vocabulary
    items = len(vocabulary.items)
    parts = [Baselines.from_sequences(Sequences.from_log(log, vocabulary), items) for log in (older, newer)]
    assert updated.baselines.popularity.tolist() == (parts[0].popularity + parts[1].popularity).tolist()
    assert updated.baselines.popularity.sum() == len(older) + len(newer)
    for code, count in zip(updated.baselines.pairs.tolist(), updated.baselines.pair_counts.tolist(), strict=True):
        assert count == sum(int(part.pair_counts[part.pairs == code].sum()) for part in parts)
    assert updated.baselines.pair_counts.sum() == sum(part.pair_counts.sum() for part in parts)


def test_a_log_of_another_catalogue_is_refused(base: Trained) -> None:
    alien = event_log([(f"u{n % 10}", f"other{n % 15}", "view", n) for n in range(30)])
    with pytest.raises(InputError, match="none of the log's 15 items is known to the model"):
        train(alien, SMALL, initialization=start_of(base))


@pytest.fixture(scope="module")
def trained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with shop.jsonl, a checkpoint of its first half in `first` and the bundle in `bundle`."""
    folder = tmp_path_factory.mktemp("shop")
    assert cli.main(["simulate", "--events", "4000", "--out", str(folder / "shop.jsonl")]) == 0
    log = str(folder / "shop.jsonl")
    train_first = ["train", log, "--first", "0.5", "--out", str(folder / "first"), "--width", "16", "--max-epochs", "2"]
    assert cli.main([*train_first, "--device", "cpu"]) == 0
    assert cli.main(["export", str(folder / "first"), "--out", str(folder / "bundle")]) == 0
    return folder


def train_from(folder: Path, base: str, out: str, *more: str) -> int:
    log = str(folder / "shop.jsonl")
    return cli.main(["train", log, "--rest", "0.5", "--from", str(folder / base), "--out", str(folder / out), *more])


def test_a_checkpoint_and_its_bundle_give_the_same_update(trained_folder: Path) -> None:
    assert train_from(trained_folder, "first", "a") == 0
    assert train_from(trained_folder, "bundle", "b") == 0
    first, a, b = (checkpoint.load(trained_folder / name) for name in ("first", "a", "b"))
    assert a.description == b.description
    assert a.description.data["from"] == first.identity
    assert a.description.model.width == 16
    assert a.description.settings.max_epochs == CONTINUED_MAX_EPOCHS
    known = len(first.vocabulary.items)
    assert a.vocabulary.items[:known] == first.vocabulary.items
    assert len(a.vocabulary.items) > known
    for name, value in a.model.state_dict().items():
        assert value.numpy().tobytes() == b.model.state_dict()[name].numpy().tobytes(), name
    log, _ = load_log(trained_folder / "shop.jsonl")
    assert checkpoint.fingerprint(log.split(0.5)[1])["sha256"] == a.description.data["sha256"]
    assert cli.main(["export", str(trained_folder / "a"), "--out", str(trained_folder / "next"), "--gpu"]) == 0
    manifest = Bundle.load(trained_folder / "next").manifest
    assert manifest.training["data"]["from"] == first.identity
    assert {*FILES, *GPU_FILES, "checkpoint/weights.pt"} < set(manifest.files)


def test_a_changed_checkpoint_in_a_bundle_is_refused(trained_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = Bundle.load(trained_folder / "bundle").manifest
    assert {name for name in manifest.files if "/" in name} == {
        f"checkpoint/{name}" for name in ("checkpoint.json", "weights.pt", "baselines.npz")
    }
    weights = trained_folder / "bundle" / "checkpoint" / "weights.pt"
    before = weights.read_bytes()
    try:
        weights.write_bytes(before[:-1] + b"?")
        # A worker does not read the checkpoint.
        assert Bundle.load(trained_folder / "bundle").bundle_id == manifest.bundle_id
        assert train_from(trained_folder, "bundle", "never") == 1
    finally:
        weights.write_bytes(before)
    assert "weights.pt is missing or was changed after the bundle's export" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        (["--width", "32"], r"--width 32 contradicts --from .*first, which has 16: a trained model keeps its shape"),
        (["--cell", "lstm"], "--cell lstm contradicts --from .*first, which has gru"),
        (["--layers", "2"], "--layers 2 contradicts --from .*first, which has 1"),
        (["--week-hours"], "--week-hours True contradicts --from .*first, which has False"),
        (
            ["--tune", "1"],
            "--tune searches for a shape, but --from keeps the shape of its model: leave one of them out",
        ),
    ],
)
def test_options_that_contradict_the_model_are_refused(
    trained_folder: Path, options: list[str], printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_from(trained_folder, "first", "never", *options) == 1
    assert re.search(printed, capsys.readouterr().err)
    assert not (trained_folder / "never").exists()


@pytest.mark.parametrize(
    ("base", "out"), [("first", "bundle/../first"), ("bundle", "bundle"), ("bundle", "bundle/checkpoint")]
)
def test_training_does_not_replace_the_model_that_it_starts_from(
    trained_folder: Path, base: str, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = trained_folder / "first" / "weights.pt"
    before = weights.read_bytes()
    assert train_from(trained_folder, base, out) == 1
    assert (
        f"/{out} would overwrite the model from which --from continues: name another folder" in capsys.readouterr().err
    )
    assert weights.read_bytes() == before


def test_the_error_of_a_bundle_without_a_checkpoint_says_what_to_do(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    demo = Path(__file__).parents[4] / "streams" / "demo" / "bundle"
    assert "checkpoint" not in json.loads((demo / "manifest.json").read_text())["files"]
    assert cli.main(["train", "absent.jsonl", "--from", str(demo), "--out", str(tmp_path / "never")]) == 1
    printed = capsys.readouterr().err
    assert "has no checkpoint inside to continue from: it was exported with --without-checkpoint or" in printed
    assert cli.main(["export", str(demo), "--out", str(tmp_path / "never")]) == 1
    assert (
        "is a bundle, not a checkpoint: name the checkpoint from which the bundle was exported"
        in capsys.readouterr().err
    )


def test_a_bundle_in_place_of_a_checkpoint_has_an_error_of_its_own(
    trained_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, log = str(trained_folder / "bundle"), str(trained_folder / "shop.jsonl")
    remedy = f"{bundle} is a bundle, not a checkpoint: name the checkpoint inside the bundle, {bundle}/checkpoint"
    assert cli.main(["export", bundle, "--out", str(tmp_path / "never")]) == 1
    assert capsys.readouterr().err.endswith(f"{remedy}\n")
    assert cli.main(["evaluate", bundle, log]) == 1
    assert f"{remedy}, or evaluate the bundle itself: --bundle {bundle} --events {log}" in capsys.readouterr().err
    assert cli.main(["export", f"{bundle}/checkpoint", "--out", str(tmp_path / "again")]) == 0


def test_export_can_leave_out_the_checkpoint(trained_folder: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    assert cli.main(["export", str(trained_folder / "first"), "--out", str(small), "--without-checkpoint"]) == 0
    names = json.loads((small / "manifest.json").read_text())["files"]
    assert not any(name.startswith("checkpoint") for name in names)
    assert not (small / "checkpoint").exists()


def test_without_validation_events_a_continued_model_keeps_its_scale_and_its_recent_items(base: Trained) -> None:
    assert base.model.recent is not None
    no_events = Validation([{SELECTION_METRIC: 0.0}], None)
    log = round_log(0, ITEMS, users=3)
    still = msgspec.structs.replace(SMALL, learning_rate=1e-9, weight_decay=0.0)
    updated = train_on_all(log, still, no_events, initialization=start_of(base))
    assert updated.model.recent is not None
    for name, value in base.model.recent.state_dict().items():
        torch.testing.assert_close(updated.model.recent.state_dict()[name], value)
    torch.testing.assert_close(updated.model.following.weight, base.model.following.weight, rtol=1e-4, atol=1e-4)


def test_the_settings_of_a_checkpoint_are_those_of_its_model(base: Trained, tmp_path: Path) -> None:
    """Settings that a checkpoint of an earlier version does not name are off, and not the defaults of today."""
    checkpoint.save(base, round_log(0, ITEMS), tmp_path)
    assert trained_settings(tmp_path).recent_items
    file = tmp_path / "checkpoint.json"
    content = json.loads(file.read_text())
    for name in ("recent_items", "counters"):
        del content["model"][name]
    for name in ("recent_items", "counters", "counted_vectors"):
        del content["settings"][name]
    file.write_text(json.dumps(content))
    settings = trained_settings(tmp_path)
    assert (settings.recent_items, settings.counters, settings.counted_vectors) == (False, False, False)
