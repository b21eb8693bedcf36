"""`make gpu-check`: compares states on a GPU with the plain graphs on the CPU, and rates with the device's roofline.

    python -m tests.tools.gpu_check [--bundle DIR] [--json]

Without a GPU, the tool checks the parity of the same code on the CPU provider and measures no rates. The bundle has to
be exported with `--gpu`. Without `--bundle`, the tool checks two bundles with random weights, one that ranks in float32
and one that ranks in float16. The roofline of a batch is the longer of two times: the time for its FLOPs (matrix
products only) at the device's peak, and the time to move its bytes at the device's bandwidth. Those bytes are weights,
rows of tables, rows of users, inputs and outputs, and no intermediate results.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from encoder.data.features import BRAND, CATEGORY, PRICE, TIME, Features
from export.runtime.batch_buffers import BatchBuffers
from export.runtime.bundle import Bundle
from export.runtime.float16_ranks import float16_rank_limits
from export.runtime.inputs import StepInputs
from export.runtime.known_events import random_state
from export.runtime.providers import cuda_failure
from export.runtime.resident_states import ResidentStates
from export.runtime.stepper import Stepper
from tests.support.bundles import tiny_bundle

USERS, WAVES = 10_000, 20
STATE_TOLERANCE = 1e-4  # relative to the largest component, after WAVES steps; each step rounds within 1e-5
MEASURED_S = 1.0  # for each rate
FLOAT_BYTES, HALF_BYTES = 4, 2
LOOKED_AT = 200  # ranks of a wave that are compared with their float16 limits, which are computed in float64


class Peak(NamedTuple):
    bandwidth: float  # bytes/s
    flops: float | None  # FLOP/s in float32 without tensor cores, None if unknown
    source: str
    half_flops: float | None = None  # FLOP/s in float16 on tensor cores, summed in float32, without sparsity


# From NVIDIA's data sheets. The key is part of the device's name; the first key that fits counts.
PEAKS = {
    "H200 NVL": Peak(4.8e12, 60e12, "H200 NVL data sheet", 835e12),
    "H200": Peak(4.8e12, 67e12, "H200 SXM data sheet", 989e12),
    "H100 NVL": Peak(3.9e12, 60e12, "H100 NVL data sheet", 835e12),
    "H100 PCIe": Peak(2.0e12, 51e12, "H100 PCIe data sheet", 756e12),
    "H100": Peak(3.35e12, 67e12, "H100 SXM data sheet", 989e12),
}


class Cost(NamedTuple):
    """What a graph has to compute and move."""

    flops: int  # for each event, in float32
    event_bytes: int  # for each event
    batch_bytes: int  # for each batch of any size: the weights
    half_flops: int = 0  # for each event, in float16

    def roofline_s(self, size: int, peak: Peak) -> float:
        moved_s = (self.batch_bytes + size * self.event_bytes) / peak.bandwidth
        computed_s = 0.0 if peak.flops is None else size * self.flops / peak.flops
        if peak.half_flops is not None:
            computed_s += size * self.half_flops / peak.half_flops
        return max(moved_s, computed_s)


class Parity(NamedTuple):
    """Largest differences from the plain graphs on the CPU, relative to the largest component if that is above 1."""

    steps: int
    state: float
    representation: float
    rank: int  # places in the catalogue
    ranks_differing: int
    heads: float
    through_host: float = 0.0  # steps and heads of the plain graphs on the GPU, with states from the host
    rank_through_host: int = 0
    ranks_looked_at: int = 0  # float16 ranks that were compared with their limits
    ranks_outside: int = 0  # float16 ranks outside the limits that rounding allows

    def holds(self, items: int) -> bool:
        """Tell whether the differences are within rounding. Near ties may move a rank, and in float16 even further."""
        close = max(self.state, self.representation, self.heads, self.through_host) <= STATE_TOLERANCE
        near_ties = 1 + items // 1000
        if self.rank_through_host > near_ties:
            return False
        return close and (self.ranks_outside == 0 if self.ranks_looked_at else self.rank <= near_ties)


def cost(graph: onnx.GraphProto, user_bytes: int) -> Cost:
    """Return the cost of a graph. `user_bytes` are the bytes of a user's row that the graph reads and writes."""
    shapes = {constant.name: list(constant.dims) for constant in graph.initializer}
    halves = {constant.name for constant in graph.initializer if constant.data_type == onnx.TensorProto.FLOAT16}
    flops = half_flops = batch_bytes = table_bytes = 0
    for node in graph.node:
        table = next((name for name in node.input if len(shapes.get(name, ())) == 2), None)
        if table is None:
            continue
        weight = shapes[table]
        if node.op_type in ("MatMul", "Gemm"):
            is_half = table in halves
            flops += 0 if is_half else 2 * weight[0] * weight[1]
            half_flops += 2 * weight[0] * weight[1] if is_half else 0
            batch_bytes += (HALF_BYTES if is_half else FLOAT_BYTES) * weight[0] * weight[1]
        elif node.op_type == "Gather":
            table_bytes += FLOAT_BYTES * weight[1]
    own = [value for value in (*graph.input, *graph.output) if not value.name.startswith("memory")]
    return Cost(flops, table_bytes + user_bytes + sum(map(_row_bytes, own)), batch_bytes, half_flops)


def parity(bundle: Bundle, resident: ResidentStates, users: int, waves: int, seed: int = 0) -> Parity:
    """Step random waves of users on both sides from random states, rank every event, and return the differences."""
    rng, manifest = np.random.default_rng(seed), bundle.manifest
    plain, on_host = Stepper(bundle, on_cpu=True), Stepper(bundle)
    state = np.concatenate([random_state(bundle, rng) for _ in range(users)])
    representation = rng.normal(size=(users, manifest.representation_width)).astype(np.float32)
    everyone = np.arange(users)
    resident.write(everyone, state, representation)
    steps = rank = differing = looked_at = outside = host_rank = 0
    heads = through_host = 0.0
    for _ in range(waves):
        slots = rng.permutation(users)[: rng.integers(1, users + 1)]
        inputs = random_events(rng, bundle, len(slots))
        item = inputs.item
        before = bundle.queries(representation[slots], state[slots])
        expected = plain.predict(before, item)
        got = resident.step(slots, inputs)
        predicted, stepped = on_host.predict(before, item), on_host.step(inputs, state[slots])
        state[slots], representation[slots] = plain.step(inputs, state[slots])
        moved = np.abs(got[0] - expected[0])
        host_rank = max(host_rank, int(np.abs(predicted[0] - expected[0]).max()))
        of_plain = *expected[1:], state[slots], representation[slots]
        pairs = zip((*predicted[1:], *stepped), of_plain, strict=True)
        through_host = max(through_host, *(difference(one, other) for one, other in pairs))
        steps, rank, differing = steps + len(slots), max(rank, int(moved.max())), differing + int((moved > 0).sum())
        heads = max(heads, *(difference(one, other) for one, other in zip(got[1:], expected[1:], strict=True)))
        if bundle.gpu_ranks_in_float16:
            best, worst = float16_rank_limits(bundle, before[:LOOKED_AT], item[:LOOKED_AT])
            looked_at += len(best)
            outside += int(((got[0][:LOOKED_AT] < best) | (got[0][:LOOKED_AT] > worst)).sum())
    got_state, got_representation = resident.read(everyone)
    return Parity(
        steps=steps,
        state=difference(got_state, state),
        representation=difference(got_representation, representation),
        rank=rank,
        ranks_differing=differing,
        heads=heads,
        through_host=through_host,
        rank_through_host=host_rank,
        ranks_looked_at=looked_at,
        ranks_outside=outside,
    )


def difference(got: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest difference, each relative to its component if above 1, or infinity if one is not finite."""
    if not got.size:
        return 0.0
    largest = float((np.abs(got - expected) / np.maximum(1, np.abs(expected))).max())
    return largest if np.isfinite(largest) else float("inf")


def random_events(rng: np.random.Generator, bundle: Bundle, n: int) -> StepInputs:
    """Return n random events, (n,) in each field, with unknown items and actions and with the bundle's features."""
    manifest, vocabulary = bundle.manifest, bundle.vocabulary
    features: Features = {
        TIME: rng.integers(0, 10**12, n),
        CATEGORY: rng.integers(0, len(vocabulary.categories) + 1, n),
        BRAND: rng.integers(0, len(vocabulary.brands) + 1, n),
        PRICE: np.where(rng.random(n) < 0.2, np.nan, np.exp(rng.uniform(-5, 12, n))).astype(np.float32),
    }
    return StepInputs(
        item=rng.integers(0, manifest.items + 1, n),
        action=rng.integers(0, manifest.actions + 1, n),
        gap_ms=rng.integers(-1, 10**8, n),
        features={name: features[name] for name in bundle.features},
    )


def rates(bundle: Bundle, resident: ResidentStates, peak: Peak, measured_s: float) -> list[dict[str, Any]]:
    """Return a row for each batch size. A step includes its transfers. A rank's representation is on the device."""
    manifest, rng = bundle.manifest, np.random.default_rng(0)
    row_bytes = 2 * FLOAT_BYTES * (manifest.state_width + manifest.representation_width)
    step = cost(onnx.load(bundle.path / "gpu_step.onnx").graph, row_bytes)
    rank = cost(onnx.load(bundle.path / "gpu_predict.onnx").graph, 0)
    table = []
    for batch in resident.batches:
        slots = rng.permutation(resident.capacity)[: batch.size]
        inputs = random_events(rng, bundle, batch.size)
        step_s = _seconds(partial(resident.step, slots, inputs, False), measured_s)
        rank_s = _seconds(partial(_rank, resident, batch), measured_s)
        row: dict[str, Any] = {"batch": batch.size}
        for name, taken_s, of in (("step", step_s, step), ("rank", rank_s, rank)):
            row |= {
                f"{name}s_per_s": round(batch.size / taken_s),
                f"{name}_flops": of.flops + of.half_flops,
                f"{name}_bytes": round(of.event_bytes + of.batch_bytes / batch.size),
                f"{name}_roofline_share": float(f"{of.roofline_s(batch.size, peak) / taken_s:.2g}"),
            }
        table.append(row)
    return table


def device_peak(name: str, device: str) -> Peak:
    """Return the peak from the data sheet of this name, or measure a copy in the memory of `device` (cpu or cuda)."""
    for part, peak in PEAKS.items():
        if part in name:
            return peak
    import onnxruntime as ort  # after `export`, whose import turns the telemetry of ONNX Runtime off

    # Two arrays of 256 MB, larger than any cache. On a CPU, a tensor shares the memory of its array.
    one, other, last = (ort.OrtValue.ortvalue_from_numpy(np.ones(n, np.float32), device) for n in (2**26, 2**26, 1))
    # A copy within a device returns before it is done. A copy to the host waits for it.
    taken_s = _seconds(lambda: (other.update_inplace(one), last.numpy()), 0.1)
    return Peak(2 * one.tensor_size_in_bytes() / taken_s, None, "a copy measured here")


def device_name() -> str:
    """Return the driver's name of the first GPU, or an empty text if nvidia-smi fails."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        names = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return ""
    return names[0].strip() if names else ""


def check(bundle: Bundle, on_gpu: bool, measured_s: float = MEASURED_S) -> dict[str, Any]:
    """Return the parity of a bundle and, on a GPU, its rates. Raises BundleError if the checks at start fail."""
    resident = ResidentStates(bundle, USERS, on_cpu=not on_gpu)
    found = parity(bundle, resident, USERS, WAVES)
    report: dict[str, Any] = {
        "provider": resident.provider,
        "bundle": bundle.bundle_id,
        "items": bundle.manifest.items,
        "nodes_on_provider": resident.nodes,
        "parity": found._asdict(),
        "parity_holds": found.holds(bundle.manifest.items),
        "half_ranks": bundle.manifest.parity.get("half_ranks"),
    }
    if on_gpu:
        peak = device_peak(device_name(), "cuda")
        report |= {"device": device_name(), "peak": peak._asdict(), "rates": rates(bundle, resident, peak, measured_s)}
    return report


def show(report: dict[str, Any]) -> None:
    """Print the report as text."""
    found = report["parity"]
    print(
        f"bundle {report['bundle']}, {report['items']} items; "
        f"all {report['nodes_on_provider']} nodes ran on {report['provider']}"
    )
    print(
        f"parity with the plain graphs on the CPU over {found['steps']:,} steps: states within {found['state']:.1g}, "
        f"representations within {found['representation']:.1g}, heads within {found['heads']:.1g}, "
        f"through the host within {found['through_host']:.1g}, "
        f"{found['ranks_differing']} ranks differ, by up to {found['rank']}: "
        + ("holds" if report["parity_holds"] else "BROKEN")
    )
    if found["ranks_looked_at"]:
        print(
            f"ranks in float16: {found['ranks_outside']} of {found['ranks_looked_at']:,} checked ranks are outside the "
            "limits that rounding allows"
        )
    if "rates" not in report:
        return
    peak = report["peak"]
    print(f"{report['device']}: {peak['bandwidth'] / 1e12:.2f} TB/s, by {peak['source']}")
    columns = list(report["rates"][0])
    print(" ".join(f"{name:>19}" for name in columns))
    for row in report["rates"]:
        print(" ".join(f"{row[name]:>19,}" for name in columns))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="gpu_check", description="states on a GPU: parity and rates")
    parser.add_argument(
        "--bundle", type=Path, help="a bundle that was exported with --gpu (default: two bundles with random weights)"
    )
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object on the last line")
    args = parser.parse_args(arguments)
    failure = cuda_failure()
    if failure:
        print(failure)
        return 1
    on_gpu = failure is None
    if not on_gpu:
        print("no GPU on this machine: checks the parity of the same code on the CPU provider, without rates")
    with tempfile.TemporaryDirectory(prefix="thalweg-") as folder:
        reports = [check(bundle, on_gpu) for bundle in bundles(args.bundle, Path(folder), on_gpu)]
    for report in reports:
        show(report)
    if args.json:
        print(json.dumps({"checks": reports}))
    return 0 if all(report["parity_holds"] for report in reports) else 1


def bundles(given: Path | None, folder: Path, on_gpu: bool) -> Iterator[Bundle]:
    """Yield the given bundle, or two bundles with random weights, of which the second ranks in float16."""
    if given is not None:
        yield Bundle.load(given)
        return
    items, width = (50_000, 64) if on_gpu else (1_000, 32)
    for name, in_float16 in (("float32", False), ("float16", True)):
        yield tiny_bundle(folder / name, items, width, for_gpu=True, in_float16=in_float16)


def _rank(resident: ResidentStates, batch: BatchBuffers) -> None:
    resident.run("predict", batch)
    for buffer in batch.predicted.values():
        buffer.fetch(batch.size)


def _seconds(call: Callable[[], object], measured_s: float) -> float:
    """Return the mean wall time of a call, since CPU time would not count the device's work."""
    call()
    calls, start = 0, perf_counter()
    while (taken_s := perf_counter() - start) < measured_s or not calls:
        call()
        calls += 1
    return taken_s / calls


def _row_bytes(value: onnx.ValueInfoProto) -> int:
    """Return the bytes of one event in an input or output whose first axis is the batch."""
    tensor = value.type.tensor_type
    width = int(np.prod([axis.dim_value for axis in tensor.shape.dim[1:]], initial=1))
    return width * onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize


if __name__ == "__main__":
    raise SystemExit(main())
