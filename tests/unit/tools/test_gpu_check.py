"""`make gpu-check` without a GPU, and its arithmetic, which is the same with a GPU."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from encoder.errors import BundleError
from export.runtime.bundle import Bundle
from export.runtime.resident_states import ResidentStates
from tests.support.bundles import tiny_bundle
from tests.tools import gpu_check
from tests.tools.gpu_check import Cost, Parity, Peak, cost, device_peak, difference, rates

ITEMS, WIDTH, HIDDEN = 100, 32, 40
COUNTS = 3  # counters of the user's events, at the end of each state and representation
RECENT = 10  # recent items, each with five numbers of a state and two of a query
STATE, REPRESENTATION = HIDDEN + 3 * WIDTH + COUNTS + 5 * RECENT, WIDTH + COUNTS
QUERY = REPRESENTATION + 2 * RECENT


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", items=ITEMS, for_gpu=True)


def test_without_a_gpu_the_parity_of_the_cpu_provider_is_checked(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_check, "cuda_failure", lambda: "")
    monkeypatch.setattr(gpu_check, "USERS", 200)
    assert gpu_check.main(["--bundle", str(bundle.path), "--json"]) == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("no GPU on this machine")
    (report,) = json.loads(last)["checks"]
    assert (report["provider"], report["parity_holds"], "rates" in report) == ("CPUExecutionProvider", True, False)
    assert report["parity"]["steps"] > 1_000


def test_without_a_bundle_ranks_in_float16_are_also_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_check, "cuda_failure", lambda: "")
    monkeypatch.setattr(gpu_check, "USERS", 50)
    assert gpu_check.main(["--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    plain, half = json.loads(lines[-1])["checks"]
    assert (plain["half_ranks"], plain["parity"]["ranks_looked_at"]) == (None, 0)
    assert half["half_ranks"]["best_items"]["differ_share"] > 0
    assert half["parity"]["ranks_looked_at"] > 100
    assert sum(line.startswith("ranks in float16: ") for line in lines) == 1
    monkeypatch.setattr(gpu_check, "float16_rank_limits", lambda bundle, before, item: (item * 0 - 1, item * 0 - 1))
    assert gpu_check.main([]) == 1, "ranks lie outside their limits"


def test_broken_parity_gives_exit_code_1(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu_check, "cuda_failure", lambda: "")
    monkeypatch.setattr(gpu_check, "USERS", 50)
    read = ResidentStates.read

    def read_wrongly(self: ResidentStates, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        state, representation = read(self, slots)
        return state + (1e-3 if len(slots) > 1 else 0), representation

    monkeypatch.setattr(ResidentStates, "read", read_wrongly)
    assert gpu_check.main(["--bundle", str(bundle.path)]) == 1
    assert "BROKEN" in capsys.readouterr().out


def test_parity_allows_only_rounding_and_near_ties() -> None:
    close = Parity(steps=9, state=1e-5, representation=1e-5, rank=1, ranks_differing=1, heads=0.0)
    assert close.holds(ITEMS)
    assert not close._replace(rank=2).holds(ITEMS)
    assert not close._replace(heads=2e-4).holds(ITEMS)
    assert difference(np.array([np.nan], np.float32), np.zeros(1, np.float32)) == float("inf")


def test_costs_of_a_step_and_of_a_rank_are_counted_from_their_graphs(bundle: Bundle) -> None:
    row_bytes = 2 * 4 * (STATE + REPRESENTATION)
    step = cost(onnx.load(bundle.path / "gpu_step.onnx").graph, row_bytes)
    gates = 3 * HIDDEN
    weights = (
        HIDDEN * gates + HIDDEN * WIDTH + COUNTS**2
    )  # the map of the state, the head, the differences of the counters
    assert step.flops >= 2 * weights
    assert step.batch_bytes * 2 == step.flops * 4, "each weight is read once in a batch and used once for each event"
    lookups = 2 * 4 * (gates + WIDTH)  # rows of the item and of (action, gap), for the gates and for the representation
    event, before, item = 4 * 8, QUERY * 4, 8
    assert step.event_bytes >= row_bytes + lookups + event + before + item
    rank = cost(onnx.load(bundle.path / "gpu_predict.onnx").graph, 0)
    assert rank.flops >= 2 * ITEMS * WIDTH
    assert rank.event_bytes == QUERY * 4 + 8 + 4 + 4 * (4 + 12), "query, item, rank, heads"


def test_the_roofline_is_the_longer_time_of_moving_and_of_computing() -> None:
    of = Cost(flops=100, event_bytes=10, batch_bytes=1000)
    assert of.roofline_s(10, Peak(100.0, None, "")) == 11.0
    assert of.roofline_s(10, Peak(100.0, 10.0, "")) == 100.0
    assert of.roofline_s(10, Peak(100.0, 1e9, "")) == 11.0


def test_each_batch_size_has_rates(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    resident = ResidentStates(bundle, 5_000, on_cpu=True)
    table = rates(bundle, resident, Peak(1e12, None, "here"), 0.01)
    assert [row["batch"] for row in table] == [64, 256, 1024, 4096]
    for row in table:
        assert row["steps_per_s"] > 0
        assert row["ranks_per_s"] > 0
        assert 0 < row["step_roofline_share"] < 1
    report = {"bundle": "b", "items": 1, "nodes_on_provider": 1, "parity_holds": True, "device": "D", "provider": "P"}
    found = Parity(1, 0.0, 0.0, 0, 0, 0.0)._asdict()
    gpu_check.show({**report, "parity": found, "peak": Peak(1e12, None, "here")._asdict(), "rates": table})
    assert len(capsys.readouterr().out.splitlines()) == 4 + len(table)


def test_a_known_device_has_a_data_sheet_and_another_is_measured() -> None:
    assert device_peak("NVIDIA H100 80GB HBM3", "cpu").bandwidth == 3.35e12
    assert device_peak("NVIDIA H100 PCIe", "cpu").bandwidth == 2.0e12
    assert device_peak("NVIDIA H200", "cpu").bandwidth == 4.8e12
    unknown = device_peak("", "cpu")
    assert 1e8 < unknown.bandwidth < 1e13
    assert unknown.flops is None


def test_a_catalogue_with_more_items_than_float32_can_count_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("export.graphs.predict.FLOAT_INTEGERS", 19)
    with pytest.raises(BundleError, match="20 items cannot be counted in float32: graphs for a GPU take up to 19"):
        tiny_bundle(tmp_path / "b", items=20, for_gpu=True)
