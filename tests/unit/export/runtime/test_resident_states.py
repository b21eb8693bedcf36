"""States that stay on a device, here on the CPU provider: the bindings, and the memory that is stepped in place."""

from pathlib import Path
from threading import Thread
from time import process_time
from typing import Any

import numpy as np
import onnx
import pytest

from encoder.data.features import EVENT_FEATURES
from encoder.data.recent_items import PLACES
from encoder.errors import BundleError
from encoder.model.cells import CELLS
from encoder.model.user_model import UserModel
from export import parity
from export.exporter import export_model
from export.graphs.predict import predict_graph
from export.graphs.resident_states import resident_step_graph
from export.runtime.bundle import GPU_FILES, Bundle
from export.runtime.inputs import StepInputs
from export.runtime.resident_states import ResidentStates
from tests.support.bundles import tiny_bundle, tiny_model, vocabulary_of
from tests.support.content import model_with_all_features, vocabulary_with_all_features
from tests.support.graphs.cuda import CUDA_OPERATORS
from tests.tools import gpu_check

ITEMS, CAPACITY = 100, 300


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", items=ITEMS, for_gpu=True)


def export_quickly(model: UserModel, path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """Export with a parity check of three steps."""
    monkeypatch.setattr(parity, "STEPS", 3)
    return export_model(model, vocabulary_of([f"item-{i}" for i in range(1, ITEMS + 1)]), path, for_gpu=True)


def assert_steps_of_plain_graphs(bundle: Bundle, waves: int) -> None:
    """Step random waves over random slots. States, ranks and heads have to be those of the plain graphs."""
    found = gpu_check.parity(bundle, ResidentStates(bundle, CAPACITY, on_cpu=True), CAPACITY, waves)
    assert found.steps > 10 * waves
    assert max(found.state, found.representation, found.heads) <= 1e-5, found
    assert (found.rank, found.ranks_differing) == (0, 0)


def test_random_waves_give_the_results_of_the_plain_graphs(bundle: Bundle) -> None:
    assert_steps_of_plain_graphs(bundle, waves=40)


def test_a_wave_above_the_largest_batch_size_is_cut(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.runtime.resident_states.BATCH_SIZES", (3, 16))
    assert_steps_of_plain_graphs(bundle, waves=10)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_steps_in_place(cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(ITEMS, cell=cell, layers=2)
    assert_steps_of_plain_graphs(export_quickly(model, tmp_path / "b", monkeypatch), waves=5)
    graphs = [resident_step_graph(model), predict_graph(np.zeros((9, 4), np.float32), places=PLACES, is_for_gpu=True)]
    for graph in graphs:
        assert {node.op_type for node in onnx.load_from_string(graph).graph.node} <= CUDA_OPERATORS


def test_a_model_with_every_feature_and_without_heads_steps_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "STEPS", 3)
    model, vocabulary = model_with_all_features(ITEMS), vocabulary_with_all_features(ITEMS)
    bundle = export_model(model, vocabulary, tmp_path / "b", for_gpu=True)
    assert bundle.features == EVENT_FEATURES
    assert_steps_of_plain_graphs(bundle, waves=5)
    graph = onnx.load(bundle.path / "gpu_step.onnx").graph
    assert {node.op_type for node in graph.node} <= CUDA_OPERATORS | {"Mod"}


def test_a_step_without_evaluation_predicts_nothing_and_steps_its_row_alone(bundle: Bundle) -> None:
    states = ResidentStates(bundle, 4, on_cpu=True)
    one = np.array([1])
    rank, action, time = states.step(one, StepInputs(one, one, one, {}), evaluate=False)
    assert (len(rank), action.shape, time.shape) == (0, (0, 4), (0, 12))
    assert states.read(one)[1].any()
    assert not states.read(np.array([0, 2, 3]))[1].any()


def test_the_cost_of_a_step_does_not_grow_with_the_memory(bundle: Bundle) -> None:
    """A runtime that copied the memory at each step would take a hundred times as long here."""
    slots = np.arange(50)
    inputs = StepInputs(item=slots, action=slots % 4, gap_ms=slots, features={})
    taken_s = []
    for capacity in (100, 100_000):
        states = ResidentStates(bundle, capacity, on_cpu=True)
        states.step(slots, inputs, evaluate=False)
        start_s = process_time()
        for _ in range(20):
            states.step(slots, inputs, evaluate=False)
        taken_s.append(process_time() - start_s)
    assert taken_s[1] < 10 * taken_s[0] + 0.02, taken_s


def test_before_a_threads_first_step_of_a_batch_size_only_spare_rows_are_stepped(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA graphs are captured by thread, and a capture repeats the run, so it must not step a user's row."""
    states = ResidentStates(bundle, 4, on_cpu=True)
    stepped: list[int] = []
    plain_run = ResidentStates.run

    def run(self: ResidentStates, name: str, batch: Any) -> None:
        if name == "step":
            stepped.append(int(batch.event._host[0, 0]))
        plain_run(self, name, batch)

    monkeypatch.setattr(ResidentStates, "run", run)
    one = np.array([1])
    inputs = StepInputs(one, one, one, {})
    thread = Thread(target=lambda: [states.step(one, inputs) for _ in range(2)])
    thread.start()
    thread.join()
    assert stepped == [4, 5, 5, 1, 1], "the spare row, the two known events, and twice the user's event"
    states.step(one, inputs)
    assert stepped[5:] == [1], "the constructor has already warmed up this thread"


def test_a_bundle_without_graphs_for_a_gpu_says_how_to_get_them(tmp_path: Path) -> None:
    plain = tiny_bundle(tmp_path / "b", items=20)
    assert not any((plain.path / name).exists() for name in GPU_FILES)
    with pytest.raises(BundleError, match=r"no graphs for a GPU: export the model again with --gpu"):
        ResidentStates(plain, 4, on_cpu=True)
