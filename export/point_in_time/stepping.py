"""Steps lives side by side, and keeps the representations that labels see."""

import numpy as np
from numpy.typing import NDArray

from export.point_in_time.lives import Lives, Seen
from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper

# Lives that are stepped side by side. More lives cost memory for their states, and fewer lives cost runs of the graph.
LANES = 2_048


def representations(bundle: Bundle, stepper: Stepper, lives: Lives, seen: Seen) -> NDArray[np.float32]:
    """(m, R) the representation that each label sees. A label that sees no event has the initial one."""
    found = np.tile(bundle.initial_representation, (len(seen.steps), 1))
    features = {name: lives.inputs.features[name] for name in bundle.features}
    inputs = lives.inputs._replace(features=features)
    needed = np.zeros(len(lives.starts), np.int64)  # steps of each life up to its last label
    np.maximum.at(needed, seen.life[seen.steps > 0], seen.steps[seen.steps > 0])
    lanes = np.argsort(-needed, kind="stable")[: int((needed > 0).sum())]
    lane_of = np.zeros(len(needed), np.int64)
    lane_of[lanes] = np.arange(len(lanes))
    labels = np.flatnonzero(seen.steps > 0)
    labels = labels[np.argsort(lane_of[seen.life[labels]], kind="stable")]
    lane = lane_of[seen.life[labels]]
    for begin in range(0, len(lanes), LANES):
        some = lanes[begin : begin + LANES]
        first, last = np.searchsorted(lane, (begin, begin + LANES)).tolist()
        some_labels = labels[first:last]
        found[some_labels] = _stepped(
            bundle,
            stepper,
            inputs,
            (lives.starts[some], needed[some]),
            (lane[first:last] - begin, seen.steps[some_labels]),
        )
    return found


def _stepped(
    bundle: Bundle,
    stepper: Stepper,
    inputs: StepInputs,
    lanes: tuple[NDArray[np.int64], NDArray[np.int64]],
    labels: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> NDArray[np.float32]:
    """(m, R) of the labels of lives that are stepped side by side. Wave k steps the k-th event of each life.

    lanes: the lives' first events, and the steps that the lives need, most first. labels: (m,) the number of the lane,
    and the steps.
    """
    (starts, needed), (lane, steps) = lanes, labels
    found = np.empty((len(steps), bundle.manifest.representation_width), np.float32)
    by_steps = np.argsort(steps, kind="stable")
    bounds = np.searchsorted(steps[by_steps], np.arange(1, int(needed[0]) + 2))
    state = np.tile(bundle.initial_state, (len(starts), 1))
    for wave in range(int(needed[0])):
        active = int(np.searchsorted(-needed, -wave))
        state, representation = stepper.step(inputs.at(starts[:active] + wave), state[:active])
        some = by_steps[bounds[wave] : bounds[wave + 1]]
        found[some] = representation[lane[some]]
    return found
