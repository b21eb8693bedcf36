"""Steps the lanes of a block. Pure but for the graph that it calls."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from export.runtime.inputs import StepInputs
from streams.engine.arena import Arena
from streams.engine.planning.columns.lanes import Lane
from streams.engine.planning.columns.planner import PlannedBlock


class StepGraph(Protocol):
    """The part of a Stepper that steps a lane."""

    def step(
        self, inputs: StepInputs, state: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...


def step_lane(planned: PlannedBlock, lane: Lane, arena: Arena, graphs: StepGraph) -> None:
    """Step the events of the lane, and put the states and representations after them into the arena.

    Lanes have no user in common, so several threads may step one lane each.
    """
    slots, inputs, start = planned.slots_of(lane), planned.inputs, lane.start
    state: NDArray[np.float32] = arena.state[slots]
    for width, following in zip(lane.widths, [*lane.widths[1:], 0], strict=True):
        state, representation = graphs.step(inputs.at(slice(start, start + width)), state)
        start += width
        done = slice(following, width)  # the users whose last event this was
        arena.state[slots[done]] = state[done]
        arena.representation[slots[done]] = representation[done]
        state = state[:following]
