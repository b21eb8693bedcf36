"""Micro-batches over states that stay on a device. Pure but for the memory it calls.

The memory holds a copy of the arena's rows, slot for slot, and behind them the rows of users that have no slot yet. A
batch steps the copy in place and reads back the rows that it changed, once, for the arena and the store. What only the
arena has written (users restored, erased, dropped, or new) is sent before the next step and after every batch, so that
between two batches the copy is the arena, and it keeps nothing of an erased user either.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from streams.engine.arena import Arena
from streams.engine.planning.plan import Part
from streams.engine.planning.rows import NO_SLOT, Rows
from streams.engine.processor import Graphs, Processor, Result
from streams.engine.sampling import EVERYTHING, Sample

ROWS_AN_EVENT = 2  # at most, of users without a slot: one for a user and one for what follows its erasure


Predicted = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]  # as of Graphs.predict


class Memory(Protocol):
    """The part of an `export.resident.Resident` that the processor calls."""

    capacity: int

    def write(
        self, slots: NDArray[np.int64], state: NDArray[np.float32], representation: NDArray[np.float32]
    ) -> None: ...

    def read(self, slots: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...

    def step(self, slots: NDArray[np.int64], inputs: StepInputs, evaluate: bool = True) -> Predicted: ...


class DeviceProcessor(Processor):
    """Applies micro-batches to an arena and to its copy in `memory`.

    The memory's capacity is the arena's and ROWS_AN_EVENT for each event of the largest batch.
    """

    def __init__(
        self, bundle: Bundle, graphs: Graphs, arena: Arena, memory: Memory, sample: Sample = EVERYTHING
    ) -> None:
        super().__init__(bundle, graphs, arena, sample)
        self._memory = memory

    def process(self, parts: Sequence[Part], sequence: int, evaluate: bool = True) -> Result:
        """As of `Processor`. Raises IndexError where more users without a slot come than the memory has room for."""
        self._send()
        result = self._plan(parts)
        if evaluate:
            result.evaluated = self._sample.due(result.columns.partition, result.columns.offset)
        if result.columns.event:
            due = result.evaluated
            ranks, probability, mixture = self._step_in_place(result, len(due) > 0)
            if len(due):
                self._foresee(result, ranks[due], probability[due], mixture[due])
        self._keep(result, sequence)
        return result

    def score(self, result: Result) -> None:
        """Nothing: what a step has on the device is scored with it."""

    def _send(self) -> None:
        """Bring the copy up to what the arena alone has written."""
        slots = np.flatnonzero(self.arena.stale)
        if len(slots):
            self._memory.write(slots, self.arena.state[slots], self.arena.representation[slots])
            self.arena.stale[slots] = False

    def _step_in_place(self, result: Result, evaluate: bool) -> Predicted:
        """Step wave by wave, and read the rows to keep into the result. Returns what was predicted for each event."""
        places = self._places(result.rows)
        new = places >= self.arena.capacity
        self._memory.write(places[new], result.state[new], result.representation[new])
        columns = result.columns
        place = places[columns.row]
        events = StepInputs(columns.item, columns.action, columns.gap_ms, self._features.of(columns.event))
        order, parts = [], []
        for wave in columns.groups.waves():
            parts.append(self._memory.step(place[wave], events.at(wave), evaluate))
            order.append(wave)
        kept = result.changed_rows()
        result.state[kept], result.representation[kept] = self._memory.read(places[kept])
        self._memory.write(places[new], np.zeros_like(result.state[new]), np.zeros_like(result.representation[new]))
        back = np.argsort(np.concatenate(order)) if evaluate else np.empty(0, np.int64)
        ranks, probability, mixture = (np.concatenate(arrays)[back] for arrays in zip(*parts, strict=True))
        return ranks, probability, mixture

    def _places(self, rows: Rows) -> NDArray[np.int64]:
        """(rows,) where each is in the memory: in its slot, or behind all slots."""
        places = rows.slot.copy()
        new = np.flatnonzero(places == NO_SLOT)
        room = self._memory.capacity - self.arena.capacity
        if len(new) > room:
            raise IndexError(
                f"a batch has {len(new)} users without a slot and the memory on the device room for {room}"
            )
        places[new] = self.arena.capacity + np.arange(len(new))
        return places

    def _keep(self, result: Result, sequence: int) -> None:
        super()._keep(result, sequence)
        kept = result.rows.select(result.changed_rows())
        new = [user_id for user_id, slot in zip(kept.user_id, kept.slot, strict=True) if slot == NO_SLOT]
        self.arena.stale[self.arena.slots(new)] = True
        self._send()
