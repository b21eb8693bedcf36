"""States that stay on a device: one memory that the graphs read, step and write in place.

Only events go to the device and only predictions come back, until the caller reads rows. Every run uses buffers of a
few fixed batch sizes that are bound once, so that CUDA can capture a run as one graph and replay it. A batch is filled
up to a fixed size with events of a spare row. The CPU provider runs the same code without the capture.

The memory's buffer is bound both as an input and as an output. ONNX Runtime gives a bound output to the kernel as it
is, and ScatterND copies its input only where input and output have different addresses, on the CPU as on CUDA. So the
graphs write into the memory without a copy.
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
from export.runtime.batch_buffers import BatchBuffers
from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs, event_columns
from export.runtime.known_events import known_events
from export.runtime.placement import check_placement
from export.runtime.predictions import Predictions, unfilled_predictions
from export.runtime.providers import CPU, CUDA, CUDA_OPTIONS, cuda_failure, open_session, session_options
from export.runtime.stepper import CUDA_TILE_SCORES

BATCH_SIZES = (64, 256, 1024, 4096)
SPARE_ROWS = 2  # behind the users' rows: one for the events that fill up a batch, one for the known events


class ResidentStates:
    """The states and representations of `capacity` users on a device, and the graphs that step them there.

    One thread at a time may use an object. on_cpu: use the CPU provider; otherwise the first CUDA device. Raises
    BundleError where the bundle has no graphs for a GPU, the machine has no working GPU, a node would run elsewhere, or
    the known events do not give the results of the plain graphs.
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
        self._state_width, self._head_widths = manifest.state_width, manifest.heads
        self._columns = event_columns(bundle.features)
        self._known_events = known_events(bundle)
        with tempfile.TemporaryDirectory(prefix="thalweg-") as profiles:
            self._sessions = {
                name: self._open_profiled_session(bundle.path / f"gpu_{name}.onnx", Path(profiles) / name)
                for name in ("step", "predict", "read", "write")
            }
            rows = np.zeros((capacity + SPARE_ROWS, manifest.state_width + manifest.representation_width), np.float32)
            device = "cpu" if on_cpu else "cuda"
            self._memory = ort.OrtValue.ortvalue_from_numpy(rows, device)
            largest = max(BATCH_SIZES[0], CUDA_TILE_SCORES // max(1, manifest.items))
            self.batches = [
                BatchBuffers(size, device, bundle, self._memory, self._sessions)
                for size in BATCH_SIZES
                if size <= largest
            ]
            self._warm: set[tuple[int, int]] = set()  # (thread, batch size)
            for batch in self.batches:
                self._warm_up(batch)
            self.nodes = sum(
                check_placement(Path(session.end_profiling()), self.provider) for session in self._sessions.values()
            )

    def write(self, slots: NDArray[np.int64], state: NDArray[np.float32], representation: NDArray[np.float32]) -> None:
        """Write (n, S) states and (n, R) representations into (n,) different slots."""
        rows = np.concatenate([state, representation], axis=1)
        for part, batch in self._batches_of(len(slots)):
            batch.slot.send(slots[part], self.capacity)
            batch.rows.send(rows[part], 0)
            self.run("write", batch)

    def read(self, slots: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(n,) slots -> their (n, S) states and (n, R) representations."""
        rows = np.empty((len(slots), self._memory.shape()[1]), np.float32)
        for part, batch in self._batches_of(len(slots)):
            batch.slot.send(slots[part], self.capacity)
            self.run("read", batch)
            rows[part] = batch.rows.fetch(len(slots[part]))
        return rows[:, : self._state_width], rows[:, self._state_width :]

    def step(self, slots: NDArray[np.int64], inputs: StepInputs, evaluate: bool = True) -> Predictions:
        """Step (n,) different slots by one event each.

        Returns n predictions of the events, from the representations before the events, or none without `evaluate`.
        """
        columns, price = self._event_inputs(slots, inputs)
        predictions = unfilled_predictions(len(slots) if evaluate else 0, self._head_widths)
        arrays = predictions._asdict()
        for part, batch in self._batches_of(len(slots)):
            if (get_ident(), batch.size) not in self._warm:
                self._warm_up(batch)
            self._step_batch(batch, columns[part], price[part])
            if evaluate:
                self.run("predict", batch)
                for name, buffer in batch.predicted.items():
                    arrays[name][part] = buffer.fetch(len(slots[part]))
        return predictions

    def run(self, name: str, batch: BatchBuffers) -> None:
        """Run one graph (step, predict, read or write) over the content of a batch's buffers, and wait for its end."""
        options = ort.RunOptions()
        if self.provider == CUDA:
            options.add_run_config_entry("gpu_graph_id", str(batch.size))  # one captured graph for each batch size
        self._sessions[name].run_with_iobinding(batch.bindings[name], options)

    def _event_inputs(self, slots: NDArray[np.int64], inputs: StepInputs) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """The (n, K) columns of n events, and their (n,) prices, or (0,) where the model does not know the price."""
        named = {"slot": slots, **inputs.by_name()}
        columns = np.stack([named[name] for name in self._columns], axis=1)
        return columns, inputs.features.get(PRICE, np.empty(0, np.float32))

    def _step_batch(self, batch: BatchBuffers, columns: NDArray[np.int64], price: NDArray[Any]) -> None:
        """Step n events, where n is at most the batch's size."""
        batch.event.send(columns, [self.capacity] + [0] * (len(self._columns) - 1))
        if batch.price is not None:
            batch.price.send(price, np.nan)
        self.run("step", batch)

    def _batches_of(self, n: int) -> Iterator[tuple[slice, BatchBuffers]]:
        """Cut n rows into batches of the largest size, and the rest into the smallest size that holds the rest."""
        start = 0
        while start < n:
            batch = next((b for b in self.batches if b.size >= n - start), self.batches[-1])
            yield slice(start, min(n, start + batch.size)), batch
            start += batch.size

    def _warm_up(self, batch: BatchBuffers) -> None:
        """Step events of no user, and check the known events, before a thread's first step of a batch size.

        CUDA graphs are captured by thread. To capture a run, ONNX Runtime runs it several times. A step in place may be
        repeated only on rows that belong to no user.
        """
        self._warm.add((get_ident(), batch.size))
        self._step_batch(batch, np.empty((0, len(self._columns)), np.int64), np.empty(0, np.float32))
        slot = np.array([self.capacity + 1])
        for known in self._known_events:
            self.write(slot, known.state, known.representation)
            self._step_batch(batch, *self._event_inputs(slot, known.inputs))
            self.run("predict", batch)
            state, representation = self.read(slot)
            rank = int(batch.predicted["rank"].fetch(1)[0])
            known.check(state, representation, rank, f"{self.provider}, batches of {batch.size}")

    def _open_profiled_session(self, graph: Path, profile: Path) -> ort.InferenceSession:
        """A session that records, until `end_profiling`, where each node ran."""
        options = session_options()
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
        if self.provider == CPU:
            return open_session(graph, CPU, options)
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        return open_session(graph, CUDA, options, CUDA_OPTIONS | {"enable_cuda_graph": "1"})
