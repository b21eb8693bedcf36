"""Micro-batches over states that stay on a device. Pure but for the device memory that the processor calls.

The device memory holds a copy of the arena's rows, slot for slot. Behind the slots stand the rows of users that have no
slot yet. A batch steps the copy in place, and reads back once the rows that changed, for the arena and the store. Rows
that only the arena has written (restored, erased, evicted and new users) are sent before the next step and after every
batch. So between two batches the copy equals the arena, and the device keeps nothing of an erased user.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.predictions import Predictions
from streams.engine.arena import Arena
from streams.engine.planning.plan import Planned
from streams.engine.planning.rows import NO_SLOT, Rows
from streams.engine.processor import Graphs, Processor
from streams.engine.sampling import EVERYTHING, Sample
from streams.engine.stages import Stepped, planned_fields

# The most rows of users without a slot that one event makes: one for the user, and one for events after an erasure.
ROWS_AN_EVENT = 2


class DeviceMemory(Protocol):
    """The part of an `export.runtime.resident_states.ResidentStates` that the processor calls."""

    capacity: int

    def write(
        self, slots: NDArray[np.int64], state: NDArray[np.float32], representation: NDArray[np.float32]
    ) -> None: ...

    def read(self, slots: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...

    def step(self, slots: NDArray[np.int64], inputs: StepInputs, evaluate: bool = True) -> Predictions: ...


class DeviceProcessor(Processor):
    """Applies micro-batches to an arena and to the arena's copy in `memory`.

    The memory's capacity is the arena's capacity, and ROWS_AN_EVENT more for each event of the largest batch.
    """

    def __init__(
        self,
        bundle: Bundle,
        graphs: Graphs,
        arena: Arena,
        memory: DeviceMemory,
        sample: Sample = EVERYTHING,
        user_ttl_ms: int | None = None,
    ) -> None:
        super().__init__(bundle, graphs, arena, sample, user_ttl_ms)
        self._memory = memory

    def _step(self, planned: Planned, evaluated: NDArray[np.int64]) -> Stepped:
        """Step in place, and predict on the device. Raises IndexError where the memory has too few rows left."""
        self._send_stale_slots()
        state, representation = self._states_before(planned.rows)
        predictions = None
        if planned.applied.event:
            every = self._step_in_place(planned, state, representation, len(evaluated) > 0)
            predictions = every.at(evaluated) if len(evaluated) else None
        return Stepped(
            **planned_fields(planned),
            state=state,
            representation=representation,
            evaluated=evaluated,
            before=None,
            predictions=predictions,
        )

    def _step_in_place(
        self, planned: Planned, state: NDArray[np.float32], representation: NDArray[np.float32], evaluate: bool
    ) -> Predictions:
        """Step wave after wave, and read the changed rows into `state` and `representation`.

        Returns the predictions of each applied event, or empty ones where nothing is evaluated.
        """
        places = self._places(planned.rows)
        new = places >= self.arena.capacity
        self._memory.write(places[new], state[new], representation[new])
        applied = planned.applied
        place, inputs = places[applied.row], self._inputs(applied)
        order: list[NDArray[np.int64]] = []
        predicted: list[Predictions] = []
        for wave in applied.groups.waves():
            predicted.append(self._memory.step(place[wave], inputs.at(wave), evaluate))
            order.append(wave)
        changed = planned.changed_rows()
        state[changed], representation[changed] = self._memory.read(places[changed])
        self._memory.write(places[new], np.zeros_like(state[new]), np.zeros_like(representation[new]))
        back = np.argsort(np.concatenate(order)) if evaluate else np.empty(0, np.int64)
        return Predictions(*(np.concatenate(arrays)[back] for arrays in zip(*predicted, strict=True)))

    def _send_stale_slots(self) -> None:
        """Send the slots that only the arena has written."""
        slots = np.flatnonzero(self.arena.stale)
        if len(slots):
            self._memory.write(slots, self.arena.state[slots], self.arena.representation[slots])
            self.arena.stale[slots] = False

    def _places(self, rows: Rows) -> NDArray[np.int64]:
        """(rows,) int64, the place of each row in the memory: the slot, or a place behind all slots."""
        places = rows.slot.copy()
        new = np.flatnonzero(places == NO_SLOT)
        room = self._memory.capacity - self.arena.capacity
        if len(new) > room:
            raise IndexError(f"a batch has {len(new)} users without a slot, and the device memory has room for {room}")
        places[new] = self.arena.capacity + np.arange(len(new))
        return places

    def _keep(self, stepped: Stepped, sequence: int) -> None:
        super()._keep(stepped, sequence)
        rows = stepped.rows.select(stepped.changed_rows())
        new = [user_id for user_id, slot in zip(rows.user_id, rows.slot, strict=True) if slot == NO_SLOT]
        self.arena.stale[self.arena.slots(new)] = True
        self._send_stale_slots()
