"""States that stay on a device: a memory that the graphs read, step and write in place.

Nothing but events goes to the device and nothing but ranks comes back, until someone reads rows. Every run goes through
buffers that are bound once, of a few fixed batch sizes, so that CUDA can capture a run as one graph and replay it; what
is missing to a size is filled with events of a spare row. The CPU provider runs the same code, without the capture.

In place: the memory's buffer is bound as input and as output. ONNX Runtime gives a bound output to the kernel as it is,
and ScatterND (CPU and CUDA alike) copies its input only where input and output are different addresses.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import get_ident
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from encoder.data.features import PRICE
from encoder.errors import BundleError
from export.runtime.bundle import Bundle
from export.runtime.device_buffer import Buffer, bound
from export.runtime.inputs import StepInputs
from export.runtime.known_events import Canary
from export.runtime.placement import check_placement
from export.runtime.stepper import CPU, CUDA, CUDA_OPTIONS, CUDA_TILE_SCORES, cuda_failure

SIZES = (64, 256, 1024, 4096)
SPARE_ROWS = 2  # behind the users' rows: one for the events that fill a batch up, one for the canary

Predicted = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]


def event_columns(features: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of a resident step's input `event`: one transfer carries every integer of a batch."""
    return ("slot", "item", "action", "gap_ms", *(name for name in features if name != PRICE))


class ResidentStates:
    """The rows of `capacity` users on a device, and the graphs over them. To be used by one thread at a time.

    on_cpu: on the CPU provider; else on the first CUDA device. Raises BundleError where the bundle was not exported for
    a GPU, there is none, a node would run elsewhere, or the canary's steps are not those of the plain graphs.
    """

    def __init__(self, bundle: Bundle, capacity: int, *, on_cpu: bool = False) -> None:
        failure = None if on_cpu else cuda_failure()
        if failure is not None:
            raise BundleError(failure or "there is no GPU here")
        if not bundle.has_gpu_graphs:
            raise BundleError(f"bundle {bundle.path} has no graphs for a GPU: export the model again with --gpu")
        manifest = bundle.manifest
        self.capacity = capacity
        self.provider = CPU if on_cpu else CUDA
        self._state_width, self._heads = manifest.state_width, manifest.heads
        self._columns = event_columns(bundle.features)
        self._canary = Canary(bundle)
        with tempfile.TemporaryDirectory(prefix="thalweg-") as profiles:
            self._sessions = {
                name: self._session(bundle.path / f"gpu_{name}.onnx", Path(profiles) / name)
                for name in ("step", "predict", "read", "write")
            }
            rows = np.zeros((capacity + SPARE_ROWS, manifest.state_width + manifest.representation_width), np.float32)
            device = "cpu" if on_cpu else "cuda"
            self._memory = ort.OrtValue.ortvalue_from_numpy(rows, device)
            most = max(SIZES[0], CUDA_TILE_SCORES // max(1, manifest.items))
            self.batches = [Batch(size, device, bundle, self._memory, self._sessions) for size in SIZES if size <= most]
            self._warm: set[tuple[int, int]] = set()
            for batch in self.batches:
                self._warm_up(batch)
            self.nodes = sum(
                check_placement(Path(session.end_profiling()), self.provider) for session in self._sessions.values()
            )

    def write(self, slots: NDArray[np.int64], state: NDArray[np.float32], representation: NDArray[np.float32]) -> None:
        """Put (n, S) states and (n, R) representations into (n,) different slots."""
        rows = np.concatenate([state, representation], axis=1)
        for part, batch in self._parts(len(slots)):
            batch.slot.put(slots[part], self.capacity)
            batch.rows.put(rows[part], 0)
            self.run("write", batch)

    def read(self, slots: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(n, S) states and (n, R) representations of (n,) slots."""
        rows = np.empty((len(slots), self._memory.shape()[1]), np.float32)
        for part, batch in self._parts(len(slots)):
            batch.slot.put(slots[part], self.capacity)
            self.run("read", batch)
            rows[part] = batch.rows.fetch(len(slots[part]))
        return rows[:, : self._state_width], rows[:, self._state_width :]

    def step(self, slots: NDArray[np.int64], inputs: StepInputs, evaluate: bool = True) -> Predicted:
        """Step (n,) different slots by one event each; of the representations before: what `Stepper.predict` gives.

        Without `evaluate` the three arrays are empty.
        """
        events, price = self._events(slots, inputs)
        n = len(slots) if evaluate else 0
        ranks = np.empty(n, np.int32)
        heads = [np.empty((n, width), np.float32) for width in self._heads.values()]
        for part, batch in self._parts(len(slots)):
            if (get_ident(), batch.size) not in self._warm:
                self._warm_up(batch)
            self._step(batch, events[part], price[part])
            if evaluate:
                self.run("predict", batch)
                for whole, given in zip((ranks, *heads), batch.predicted.values(), strict=True):
                    whole[part] = given.fetch(len(slots[part]))
        action_probability, time_mixture = heads or [np.empty((n, 0), np.float32)] * 2
        return ranks, action_probability, time_mixture

    def run(self, name: str, batch: "Batch") -> None:
        """Run a graph (step, predict, read or write) over what stands in a batch's buffers, to its end."""
        options = ort.RunOptions()
        if self.provider == CUDA:
            options.add_run_config_entry("gpu_graph_id", str(batch.size))  # a captured graph for each batch size
        self._sessions[name].run_with_iobinding(batch.bindings[name], options)

    def _events(self, slots: NDArray[np.int64], inputs: StepInputs) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """The (n, K) int64 columns of n events, and their (n,) prices, or none without this feature."""
        named = {"slot": slots, **inputs.by_name()}
        events = np.stack([named[name] for name in self._columns], axis=1)
        return events, inputs.features.get(PRICE, np.empty(0, np.float32))

    def _step(self, batch: "Batch", events: NDArray[np.int64], price: NDArray[Any]) -> None:
        """Step (n, K) events, n up to the batch's size, their slots in column 0."""
        batch.event.put(events, [self.capacity] + [0] * (len(self._columns) - 1))
        if batch.price is not None:
            batch.price.put(price, np.nan)
        self.run("step", batch)

    def _parts(self, n: int) -> Iterator[tuple[slice, "Batch"]]:
        """Cut n into the largest batches, and what is left into the smallest that holds it."""
        start = 0
        while start < n:
            batch = next((b for b in self.batches if b.size >= n - start), self.batches[-1])
            yield slice(start, min(n, start + batch.size)), batch
            start += batch.size

    def _warm_up(self, batch: "Batch") -> None:
        """Before the first step of a batch size in a thread: CUDA graphs are captured by thread, and to capture one,
        ONNX Runtime runs it several times over. A step in place may be repeated only where no user's row is."""
        self._warm.add((get_ident(), batch.size))
        self._step(batch, np.empty((0, len(self._columns)), np.int64), np.empty(0, np.float32))
        slot = np.array([self.capacity + 1])
        for trial in self._canary.trials:
            self.write(slot, trial.state, trial.representation)
            self._step(batch, *self._events(slot, trial.inputs))
            self.run("predict", batch)
            trial.check(*self.read(slot), batch.predicted["rank"].fetch(1), f"{self.provider}, batches of {batch.size}")

    def _session(self, path: Path, profile: Path) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_profiling = True  # until the constructor ends: says where each node ran
        options.profile_file_prefix = str(profile)
        of_provider: dict[str, str] = {}
        if self.provider == CUDA:
            of_provider = CUDA_OPTIONS | {"enable_cuda_graph": "1"}
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        try:
            session = ort.InferenceSession(path, options, providers=[(self.provider, of_provider)])
        except Exception as error:  # its errors have no common root
            raise BundleError(f"ONNX Runtime cannot run {path} on {self.provider} alone: {error}") from error
        if session.get_providers()[0] != self.provider:
            raise BundleError(f"ONNX Runtime could not start {self.provider} for {path}")
        return session


class Batch:
    """The buffers of one batch size, bound to the four graphs."""

    def __init__(
        self,
        size: int,
        device: str,
        bundle: Bundle,
        memory: ort.OrtValue,
        sessions: dict[str, ort.InferenceSession],
    ) -> None:
        manifest = bundle.manifest
        self.size = size
        self.event = Buffer((size, len(event_columns(bundle.features))), np.int64, device)
        self.price = Buffer((size,), np.float32, device) if PRICE in bundle.features else None
        self.slot = Buffer((size,), np.int64, device)
        self.rows = Buffer((size, memory.shape()[1]), np.float32, device)
        self.predicted = {"rank": Buffer((size,), np.int32, device)}
        self.predicted |= {name: Buffer((size, width), np.float32, device) for name, width in manifest.heads.items()}
        before = ort.OrtValue.ortvalue_from_shape_and_type((size, manifest.representation_width), np.float32, device)
        item = ort.OrtValue.ortvalue_from_shape_and_type((size,), np.int64, device)

        event = {"event": self.event.value} | ({} if self.price is None else {PRICE: self.price.value})
        old, new = {"memory": memory}, {"memory_after": memory}
        slot, rows = {"slot": self.slot.value}, {"rows": self.rows.value}
        predicted = {name: buffer.value for name, buffer in self.predicted.items()}
        self.bindings = {
            "step": bound(sessions["step"], old | event, new | {"before": before, "item": item}),
            "predict": bound(sessions["predict"], {"representation": before, "item": item}, predicted),
            "read": bound(sessions["read"], old | slot, rows),
            "write": bound(sessions["write"], old | slot | rows, new),
        }
