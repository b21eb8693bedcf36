"""A worker whose states stay on a device gives the same results as a worker with states in the CPU's memory."""

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from export.runtime.bundle import Bundle
from export.runtime.providers import cuda_failure
from export.runtime.resident_states import ResidentStates
from export.runtime.stepper import Stepper
from streams.config.settings import Settings
from streams.engine.arena import Arena
from streams.engine.codec import decode_batch
from streams.engine.device import ROWS_AN_EVENT, DeviceProcessor
from streams.engine.planning.candidates import Part
from streams.engine.processor import Processor
from streams.engine.stages import Scored
from streams.worker import wiring
from tests.support.bundles import tiny_bundle
from tests.support.processing import MemoryStore, Record, feed

CAPACITY, BATCH = 30, 25


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", items=50, for_gpu=True)


def record(offset: int, user: str, item: str | None, timestamp_ms: int = 10**12) -> Record:
    if item is None:
        return Record(user.encode(), None, offset, timestamp_ms)
    value = {
        "event_id": f"e{offset}",
        "user_id": user,
        "item_id": item,
        "action": "view",
        "event_time_ms": offset * 900,
    }
    return Record(user.encode(), msgspec.json.encode(value), offset, timestamp_ms)


def pair(
    bundle: Bundle, capacity: int = CAPACITY, user_ttl_ms: int | None = None
) -> tuple[Processor, DeviceProcessor, ResidentStates]:
    """Return two processors of the same bundle, one with states in the CPU's memory and one with states on a device."""
    widths, stepper = (bundle.manifest.state_width, bundle.manifest.representation_width), Stepper(bundle)
    memory = ResidentStates(bundle, capacity + ROWS_AN_EVENT * BATCH, on_cpu=cuda_failure() is not None)
    on_device = DeviceProcessor(bundle, stepper, Arena(capacity, *widths), memory, user_ttl_ms=user_ttl_ms)
    return Processor(bundle, stepper, Arena(capacity, *widths), user_ttl_ms=user_ttl_ms), on_device, memory


def assert_same(one: Scored, other: Scored) -> None:
    np.testing.assert_array_equal(one.rank, other.rank)
    assert one.changed_rows().tolist() == other.changed_rows().tolist()
    kept = one.changed_rows()
    np.testing.assert_allclose(one.state[kept], other.state[kept], rtol=0, atol=1e-5)
    np.testing.assert_allclose(one.representation[kept], other.representation[kept], rtol=0, atol=1e-5)
    assert (one.foresight is None) == (other.foresight is None)
    if one.foresight is not None and other.foresight is not None:
        assert one.foresight.predicted_action == other.foresight.predicted_action
        for name in ("action_probability", "time_log_likelihood", "time_quantile", "expected_gap_ms"):
            of_both = getattr(one.foresight, name), getattr(other.foresight, name)
            if cuda_failure() is None:  # the values are rounded to six digits, or to a millisecond
                np.testing.assert_allclose(*of_both, rtol=1e-5, atol=1.0 if name == "expected_gap_ms" else 2e-6)
            else:
                np.testing.assert_array_equal(*of_both)


def test_results_are_the_same_with_erasures_evictions_restores_and_lost_partitions(bundle: Bundle) -> None:
    rng = np.random.default_rng(0)
    plain, on_device, memory = pair(bundle)
    stored: list[Any] = [MemoryStore(), MemoryStore()]
    offset = 0
    for sequence in range(1, 80):
        records = []
        for _ in range(rng.integers(1, BATCH + 1)):
            item = None if rng.random() < 0.1 else f"item-{rng.integers(1, 60)}"  # some items are not in the catalogue
            records.append(record(offset, f"u{rng.integers(60)}", item))
            offset += 1
        assert_same(*(feed(on, rows, records, sequence) for on, rows in zip((plain, on_device), stored, strict=True)))
        np.testing.assert_array_equal(memory.read(np.arange(CAPACITY))[0], on_device.arena.state)
        np.testing.assert_array_equal(memory.read(np.arange(CAPACITY))[1], on_device.arena.representation)
        behind = memory.read(np.arange(CAPACITY, memory.capacity))
        assert not behind[0].any(), "users without a slot leave no values after the slots"
        assert not behind[1].any()
        if sequence % 20 == 0:
            for on in (plain, on_device):
                on.arena.drop_partitions([0])
    assert len(on_device.arena) > 0


def test_results_are_the_same_with_histories_that_expire(bundle: Bundle) -> None:
    rng = np.random.default_rng(1)
    plain, on_device, memory = pair(bundle, user_ttl_ms=1_000)
    stored: list[Any] = [MemoryStore(), MemoryStore()]
    offset, now_ms, expired = 0, 10**12, 0
    for sequence in range(1, 30):
        records = []
        for _ in range(rng.integers(1, BATCH + 1)):
            now_ms += int(rng.choice([1, 20, 1_500], p=[0.5, 0.4, 0.1]))
            item = None if rng.random() < 0.05 else f"item-{rng.integers(1, 60)}"
            records.append(record(offset, f"u{rng.integers(12)}", item, now_ms))
            offset += 1
        results = [feed(on, rows, records, sequence) for on, rows in zip((plain, on_device), stored, strict=True)]
        assert_same(*results)
        expired += results[0].expired
        np.testing.assert_array_equal(memory.read(np.arange(CAPACITY))[0], on_device.arena.state)
        assert not memory.read(np.arange(CAPACITY, memory.capacity))[0].any()
    assert expired > 50


def test_the_row_of_an_erased_user_on_the_device_is_cleared_with_the_batch(bundle: Bundle) -> None:
    _, on_device, memory = pair(bundle)
    rows = MemoryStore()
    feed(on_device, rows, [record(0, "a", "item-1"), record(1, "b", "item-2")], 1)
    slot = on_device.arena.slot("a")
    assert memory.read(np.array([slot]))[0].any()
    feed(on_device, rows, [record(2, "a", "item-3"), record(3, "a", None)], 2)
    assert not memory.read(np.array([slot]))[0].any()
    assert not memory.read(np.array([slot]))[1].any()


def test_a_batch_without_evaluation_steps_and_computes_no_rank(bundle: Bundle) -> None:
    results = []
    for on in pair(bundle)[:2]:
        log = [record(0, "a", "item-1"), record(1, "a", "item-2")]
        results.append(on.score(on.process([Part(0, log, decode_batch(log))], 1, evaluate=False)))
    assert_same(*results)
    assert len(results[1].rank) == 0


def test_more_new_users_than_the_device_has_room_for_are_an_error(bundle: Bundle) -> None:
    _, on_device, _ = pair(bundle, capacity=200)
    log = [record(n, f"u{n}", "item-1") for n in range(ROWS_AN_EVENT * BATCH + 1)]
    with pytest.raises(IndexError, match="a batch has 51 users without a slot, and the device memory has room for 50"):
        on_device.process([Part(0, log, decode_batch(log))], 1)


def test_graphs_for_a_gpu_change_no_other_file_of_a_bundle(bundle: Bundle, tmp_path: Path) -> None:
    plain = tiny_bundle(tmp_path / "b", items=50)
    assert {**plain.manifest.files} == {n: h for n, h in bundle.manifest.files.items() if not n.startswith("gpu_")}


@pytest.mark.parametrize("has_graphs", [False, True])
def test_states_stay_on_a_gpu_if_the_bundle_and_the_machine_allow_it(
    has_graphs: bool,
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(wiring, "ResidentStates", partial(ResidentStates, on_cpu=True))
    given = bundle if has_graphs else tiny_bundle(tmp_path / "b", items=20)
    stepper = Stepper(given)
    for failure, expected in (("", "states on the CPU\n"), ("no libcudart", "states on the CPU: no libcudart\n")):
        monkeypatch.setattr(wiring, "cuda_failure", lambda failure=failure: failure)
        assert type(wiring.make_processor(given, stepper, Settings(arena_max_users=CAPACITY))) is Processor
        assert expected in capsys.readouterr().out
    monkeypatch.setattr(wiring, "cuda_failure", lambda: None)
    made = wiring.make_processor(given, stepper, Settings(arena_max_users=CAPACITY))
    assert isinstance(made, DeviceProcessor) == has_graphs
    printed = capsys.readouterr().out
    assert ("states on the GPU\n" in printed, "export the bundle with --gpu" in printed) == (has_graphs, not has_graphs)
    assert "float16" not in printed


def test_the_worker_prints_at_its_start_that_ranks_are_in_float16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wiring, "ResidentStates", partial(ResidentStates, on_cpu=True))
    given = tiny_bundle(tmp_path / "b", items=50, for_gpu=True, in_float16=True)
    stepper = Stepper(given)
    monkeypatch.setattr(wiring, "cuda_failure", lambda: "")
    wiring.make_processor(given, stepper, Settings(arena_max_users=CAPACITY))
    assert "float16" not in capsys.readouterr().out, "ranks on the CPU are in float32"
    monkeypatch.setattr(wiring, "cuda_failure", lambda: None)
    wiring.make_processor(given, stepper, Settings(arena_max_users=CAPACITY))
    assert "ranks are in float16 and not exact: near the top " in capsys.readouterr().out
