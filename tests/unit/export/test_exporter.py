from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from encoder.data.vocabulary import Vocabulary
from encoder.errors import BundleError, InputError
from encoder.model.cells import CELLS, Cell
from encoder.model.counters import EVENT
from encoder.model.user_model import ModelConfig, UserModel
from export import exporter, parity
from export.graphs import predict_graph, step_graph
from export.runtime.bundle import FILES, Bundle
from export.runtime.stepper import Stepper
from tests.support.bundles import tiny_bundle, tiny_model

# Operators of step graphs; ONNX Runtime has kernels of all of them for both.
ON_CPU_AND_CUDA = {
    *("Add", "Cast", "Concat", "Exp", "Gather", "Gemm", "GreaterOrEqual", "LayerNormalization", "Less", "Log", "Max"),
    *("Mul", "ReduceSum", "Reshape", "Sigmoid", "Split", "Sub", "Tanh", "Unsqueeze", "Where"),
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", items=100)


def session(bundle: Bundle, name: str) -> ort.InferenceSession:
    return ort.InferenceSession(bundle.path / name, providers=["CPUExecutionProvider"])


def test_a_bundle_says_what_it_is_and_was_proven(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert (manifest.cell, manifest.items, manifest.actions) == ("gru", 100, 3)
    assert (manifest.state_width, manifest.representation_width) == (40 + 3 * 32 + 6, 32 + 3)
    assert manifest.parity["sequences"] == 64
    assert manifest.parity["longest"] == 1_000
    assert manifest.parity["state_max_abs_diff"] <= 1e-5 <= manifest.parity["state_tolerance"]  # 1e-5 of the largest
    assert manifest.parity["rank_errors"] == 0
    assert manifest.heads == {"action_probability": 4, "time_mixture": 12}
    assert manifest.parity["head_max_rel_diff"] <= manifest.parity["head_tolerance"] == 1e-5
    assert bundle.item_vectors.shape == (101, 32 + 3)


def test_the_same_model_gives_the_same_bundle(bundle: Bundle, tmp_path: Path) -> None:
    assert tiny_bundle(tmp_path / "again", items=100).bundle_id == bundle.bundle_id
    assert tiny_bundle(tmp_path / "other", items=100, seed=1).bundle_id != bundle.bundle_id


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_changed_bundle_is_refused(name: str, tmp_path: Path, bundle: Bundle) -> None:
    for file in (*FILES, "manifest.json"):
        (tmp_path / file).write_bytes((bundle.path / file).read_bytes())
    assert Bundle.load(tmp_path).bundle_id == bundle.bundle_id
    if name == "manifest.json":
        content = msgspec.json.decode((tmp_path / name).read_bytes())
        content["metrics"] = {"recall@20": 0.99}
        (tmp_path / name).write_bytes(msgspec.json.encode(content))
    else:
        content = bytearray((tmp_path / name).read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / name).write_bytes(bytes(content))
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        Bundle.load(tmp_path)


def test_a_failed_parity_leaves_the_old_bundle(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tiny_bundle(tmp_path / "b", items=100)
    monkeypatch.setattr(parity, "TOLERANCE", 1e-12)
    with pytest.raises(BundleError, match="parity of states failed"):
        exporter.export_model(tiny_model(100, seed=3), kept.vocabulary, tmp_path / "b")
    assert Bundle.load(tmp_path / "b").bundle_id == kept.bundle_id
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="is not a bundle"):
        exporter.export_model(tiny_model(100), bundle.vocabulary, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_step_is_the_models_step_at_every_gap_boundary(bundle: Bundle) -> None:
    model = tiny_model(100)
    edges = model.gap_boundaries_ms
    gap_ms = torch.cat([edges - 1, edges, edges + 1, torch.tensor([2**62])]).clamp(min=-1)
    n = len(gap_ms)
    item, action = torch.arange(n) % 101, torch.arange(n) % 4
    state = torch.randn(n, model.state_width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model.step(item, action, gap_ms, state)
    feeds = {"item": item, "action": action, "gap_ms": gap_ms, "state": state}
    got = session(bundle, "step.onnx").run(None, {name: value.numpy() for name, value in feeds.items()})
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
def test_a_thousand_steps_of_the_graph_are_one_pass_of_the_sequence_form(cell: str, layers: int) -> None:
    users, steps = 8, 1_000
    model = tiny_model(100, cell=cell, layers=layers)
    with torch.no_grad():  # as large as trained: gates that open and close
        model.items.weight[:, 1:] *= 5
        for parameter in model.cell.parameters():
            parameter *= 1.5
    graph = step_graph(model)
    assert {node.op_type for node in onnx.load_from_string(graph).graph.node} <= ON_CPU_AND_CUDA
    step = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    item, action = (torch.randint(0, most, (users, steps), generator=generator) for most in (101, 4))
    gap_ms = torch.randint(-1, 10**8, (users, steps), generator=generator)
    first = torch.randn(users, model.state_width, generator=generator)
    first[:, -model.state_widths[-1] :] = 20 * EVENT  # no user's count is below 0
    with torch.no_grad():
        expected, last = model.sequence(item, action, gap_ms, first)
    state = first.numpy()
    for t in range(steps):
        feeds = {"item": item[:, t], "action": action[:, t], "gap_ms": gap_ms[:, t]}
        state, representation = step.run(None, {**{name: x.numpy() for name, x in feeds.items()}, "state": state})
        np.testing.assert_allclose(representation, expected[:, t], rtol=0, atol=1e-5)
    np.testing.assert_allclose(state, last, rtol=0, atol=1e-5)


def test_a_cell_without_a_graph_is_named() -> None:
    model = tiny_model(100)
    model.cell = type("OtherCell", (Cell,), {"step": None, "sequence": None})(32, 40, 40)
    with pytest.raises(BundleError, match="no graph is known for cell OtherCell"):
        step_graph(model)


def test_ranks_count_ties_against_the_model_and_nothing_for_unknown() -> None:
    vectors = np.zeros((5, 3), np.float32)
    vectors[:, 0] = [3, 2, 2, 1, 1]
    predict = ort.InferenceSession(predict_graph(vectors), providers=["CPUExecutionProvider"])
    representation = np.tile(np.array([1, 0, 0], np.float32), (7, 1))
    representation[6] = np.nan
    (ranks,) = predict.run(None, {"representation": representation, "item": np.array([0, 1, 2, 3, 4, 5, 1])})
    assert ranks.dtype == np.int32
    assert ranks.tolist() == [0, 1, 3, 3, 5, 5, 5]  # a representation that is no number: the worst rank


def test_the_stepper_gives_what_the_heads_give_in_tiles(bundle: Bundle) -> None:
    stepper, heads = Stepper(bundle), tiny_model(100).heads
    stepper._tile = 7
    representation = np.random.default_rng(0).normal(size=(50, bundle.manifest.representation_width)).astype(np.float32)
    item = np.arange(50)
    ranks, action, time = stepper.predict(representation, item)
    assert np.array_equal(ranks, stepper.rank(representation, item))
    assert heads is not None
    with torch.no_grad():
        for got, expected in zip((action, time), heads.outputs(torch.from_numpy(representation)), strict=True):
            np.testing.assert_allclose(got, expected.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(time[:, :4].sum(axis=1), 1, rtol=1e-6)


def test_heads_that_were_exported_wrong_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.graphs.heads.MIN_SCALE", 0.1001)
    with pytest.raises(BundleError, match="parity of heads failed"):
        tiny_bundle(tmp_path / "b", items=20)


def test_a_bundle_without_heads_is_read_as_ever(tmp_path: Path) -> None:
    old = Bundle.load(Path(__file__).parents[3] / "streams" / "demo" / "bundle")
    model = UserModel(ModelConfig(items=20, actions=3, width=8, hidden=8))
    vocabulary = Vocabulary([f"i{i}" for i in range(20)], ["view", "cart", "purchase"])
    new = exporter.export_model(model, vocabulary, tmp_path / "b")
    for bundle in (old, new):
        width = bundle.manifest.representation_width
        ranks, action, time = Stepper(bundle).predict(np.zeros((3, width), np.float32), np.array([0, 1, 2]))
        assert ranks[0] == 0
        assert ranks[1] > 0
        if not bundle.manifest.heads:
            assert action.shape == time.shape == (3, 0)
    assert "heads" not in msgspec.json.decode((new.path / "manifest.json").read_bytes())
    assert "head_tolerance" not in new.manifest.parity


def test_initial_values_are_the_models(bundle: Bundle) -> None:
    model = tiny_model(100)
    assert not bundle.initial_state.any()
    expected = np.concatenate([model.head.bias.detach().numpy(), [-1.5] * 3])  # its counters' usual is 1.5
    np.testing.assert_array_equal(bundle.initial_representation, expected)
