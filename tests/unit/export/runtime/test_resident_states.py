"""States that stay on a device, here the CPU: the binding, the memory in place, and what the start checks."""

from pathlib import Path
from threading import Thread
from time import process_time
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from encoder.data.features import EVENT_FEATURES
from encoder.errors import BundleError
from encoder.model.cells import CELLS
from encoder.model.user_model import UserModel
from export import exporter
from export import parity as proof
from export.exporter import export_model
from export.graphs import predict_graph
from export.graphs.resident_states import resident_step_graph
from export.runtime.bundle import GPU_FILES, Bundle
from export.runtime.inputs import StepInputs
from export.runtime.placement import check_placement
from export.runtime.resident_states import ResidentStates
from export.runtime.stepper import CPU, CUDA
from tests.support.bundles import tiny_bundle, tiny_model, vocabulary_of
from tests.support.content import model_with_all_features, vocabulary_with_all_features
from tests.support.cuda import CUDA_OPERATORS
from tests.tools.gpu_check import parity

ITEMS, CAPACITY = 100, 300


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", items=ITEMS, for_gpu=True)


def quickly_exported(model: UserModel, path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setattr(proof, "STEPS", 3)
    return export_model(model, vocabulary_of([f"item-{i}" for i in range(1, ITEMS + 1)]), path, for_gpu=True)


def compare(bundle: Bundle, waves: int) -> None:
    """Random waves over random slots: rows, ranks and heads are those of the plain graphs."""
    found = parity(bundle, ResidentStates(bundle, CAPACITY, on_cpu=True), CAPACITY, waves)
    assert found.steps > 10 * waves
    assert max(found.state, found.representation, found.heads) <= 1e-5, found
    assert (found.rank, found.ranks_differing) == (0, 0)


def test_random_waves_in_place_are_the_plain_graphs_steps(bundle: Bundle) -> None:
    compare(bundle, waves=40)


def test_a_wave_above_the_largest_batch_is_cut(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.runtime.resident_states.SIZES", (3, 16))
    compare(bundle, waves=10)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_steps_in_place(cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(ITEMS, cell=cell, layers=2)
    compare(quickly_exported(model, tmp_path / "b", monkeypatch), waves=5)
    graphs = [resident_step_graph(model), predict_graph(np.zeros((9, 4), np.float32), is_for_gpu=True)]
    for graph in graphs:
        assert {node.op_type for node in onnx.load_from_string(graph).graph.node} <= CUDA_OPERATORS


def test_a_model_without_heads_that_knows_every_feature_steps_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "STEPS", 3)
    model, vocabulary = model_with_all_features(ITEMS), vocabulary_with_all_features(ITEMS)
    bundle = export_model(model, vocabulary, tmp_path / "b", for_gpu=True)
    assert bundle.features == EVENT_FEATURES
    compare(bundle, waves=5)
    graph = onnx.load(bundle.path / "gpu_step.onnx").graph
    assert {node.op_type for node in graph.node} <= CUDA_OPERATORS | {"Div", "Mod"}


def test_a_step_without_evaluation_ranks_nothing_and_steps(bundle: Bundle) -> None:
    resident = ResidentStates(bundle, 4, on_cpu=True)
    one = np.array([1])
    ranks, action, time = resident.step(one, StepInputs(one, one, one, {}), evaluate=False)
    assert (len(ranks), action.shape, time.shape) == (0, (0, 4), (0, 12))
    assert resident.read(one)[1].any()
    assert not resident.read(np.array([0, 2, 3]))[1].any(), "a step touches its own row alone"


def test_the_cost_of_a_step_does_not_grow_with_the_memory(bundle: Bundle) -> None:
    """A runtime that copied the memory to write into it would take a hundred times as long here."""
    slots = np.arange(50)
    inputs = StepInputs(item=slots, action=slots % 4, gap_ms=slots, features={})
    taken_s = []
    for capacity in (100, 100_000):
        resident = ResidentStates(bundle, capacity, on_cpu=True)
        resident.step(slots, inputs, evaluate=False)
        start = process_time()
        for _ in range(20):
            resident.step(slots, inputs, evaluate=False)
        taken_s.append(process_time() - start)
    assert taken_s[1] < 10 * taken_s[0] + 0.02, taken_s


def test_a_thread_s_first_step_of_a_size_is_preceded_by_one_of_nobody(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA graphs are captured by thread, and a capture repeats the run: it may not be a user's step."""
    resident = ResidentStates(bundle, 4, on_cpu=True)
    stepped: list[int] = []
    plain_run = ResidentStates.run

    def run(self: ResidentStates, name: str, batch: Any) -> None:
        if name == "step":
            stepped.append(int(batch.event._host[0, 0]))
        plain_run(self, name, batch)

    monkeypatch.setattr(ResidentStates, "run", run)
    one = np.array([1])
    inputs = StepInputs(one, one, one, {})
    thread = Thread(target=lambda: [resident.step(one, inputs) for _ in range(2)])
    thread.start()
    thread.join()
    assert stepped == [4, 5, 5, 1, 1], "of nobody, the canary's two, then the user's"
    resident.step(one, inputs)
    assert stepped[5:] == [1], "the constructor's thread is warm"


def test_the_canary_finds_inputs_that_went_stale(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a captured graph would behave whose inputs are not where it was captured: every run sees the first."""
    seen: dict[int, Any] = {}

    def put(self: Any, values: NDArray[Any], rest: Any) -> None:
        if self._host.ndim == 2 and self._host.dtype == np.int64 and len(values):
            values = seen.setdefault(id(self), values)
        plain_put(self, values, rest)

    from export.runtime.device_buffer import Buffer

    plain_put = Buffer.put
    monkeypatch.setattr(Buffer, "put", put)
    with pytest.raises(
        BundleError, match=r"the canary's (state|representation) on CPUExecutionProvider, batches of 64"
    ):
        ResidentStates(bundle, 4, on_cpu=True)


@pytest.mark.parametrize("in_float16", [False, True])
def test_the_canary_finds_a_wrong_rank(in_float16: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def upside_down(vectors: NDArray[np.float32], heads: Any, **options: Any) -> bytes:
        return predict_graph(-vectors if options.get("is_for_gpu") else vectors, heads, **options)

    monkeypatch.setattr(exporter, "predict_graph", upside_down)
    monkeypatch.setattr(proof, "STEPS", 3)
    wrong = tiny_bundle(tmp_path / "b", ITEMS, for_gpu=True, in_float16=in_float16)
    with pytest.raises(BundleError, match="the canary's rank"):
        ResidentStates(wrong, 4, on_cpu=True)


def test_a_bundle_without_the_graphs_says_how_to_get_them(tmp_path: Path) -> None:
    plain = tiny_bundle(tmp_path / "b", items=20)
    assert not any((plain.path / name).exists() for name in GPU_FILES)
    with pytest.raises(BundleError, match=r"no graphs for a GPU: export the model again with --gpu"):
        ResidentStates(plain, 4, on_cpu=True)


@pytest.mark.parametrize("name", GPU_FILES)
def test_a_changed_or_missing_graph_is_refused(name: str, bundle: Bundle, tmp_path: Path) -> None:
    for file in bundle.path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert Bundle.load(tmp_path).has_gpu_graphs
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(bytes(content))
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        Bundle.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(BundleError, match=f"{name.replace('.', chr(92) + '.')} is missing"):
        Bundle.load(tmp_path)


def test_nodes_of_another_provider_are_named(bundle: Bundle, tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "profile")
    session = ort.InferenceSession(bundle.path / "gpu_read.onnx", options, providers=[CPU])
    width = bundle.manifest.state_width + bundle.manifest.representation_width
    session.run(None, {"memory": np.zeros((2, width), np.float32), "slot": np.array([1])})
    profile = Path(session.end_profiling())
    assert check_placement(profile, CPU) == 1
    with pytest.raises(BundleError, match=r"1 of 1 nodes do not stay on CUDAExecutionProvider: Gather rows\S* on CPU"):
        check_placement(profile, CUDA)


def test_a_copy_between_host_and_device_is_named(tmp_path: Path) -> None:
    profile = tmp_path / "profile.json"
    nodes = [("rows_kernel_time", "Gather"), ("Memcpy_kernel_time", "MemcpyToHost")]
    events = [{"cat": "Node", "name": name, "args": {"op_name": op, "provider": CUDA}} for name, op in nodes]
    profile.write_bytes(msgspec.json.encode(events))
    with pytest.raises(BundleError, match=r"1 of 2 nodes do not stay on .*: MemcpyToHost Memcpy"):
        check_placement(profile, CUDA)
    profile.write_bytes(b"[]")
    with pytest.raises(BundleError, match="has no node"):
        check_placement(profile, CUDA)
