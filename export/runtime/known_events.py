"""The canary: events whose outcome is known, stepped before any user's.

A captured graph that reads its inputs from where they were, or a memory that is not written in place, gives plausible
numbers. So different events go through the same buffers one after another, and each must give its own outcome.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.data.features import PRICE
from encoder.errors import BundleError
from export.runtime.bundle import Bundle
from export.runtime.float16_ranks import float16_rank_limits
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper

TOLERANCE = 1e-3  # of the largest component: far above what float32 rounds off, far below what another event gives


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One event of one user. state: (1, S) and representation: (1, D) before it,
    float32; next_state, next_representation: what the plain graphs give on the CPU; ranks: the best and the worst that
    may be given."""

    inputs: StepInputs  # B = 1
    state: NDArray[np.float32]
    representation: NDArray[np.float32]
    next_state: NDArray[np.float32]
    next_representation: NDArray[np.float32]
    ranks: tuple[int, int]

    def check(
        self, state: NDArray[np.float32], representation: NDArray[np.float32], rank: NDArray[np.int32], where: str
    ) -> None:
        """Raise BundleError where these are not the expected outcome."""
        for what, got, expected in (
            ("state", state, self.next_state),
            ("representation", representation, self.next_representation),
        ):
            difference = float(np.abs(got - expected).max())
            if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
                raise BundleError(
                    f"the canary's {what} on {where} is {difference:g} off the CPU's: this device, or this version of "
                    "ONNX Runtime on it, does not step as it should: export the bundle without --gpu"
                )
        best, worst = self.ranks
        if not best <= int(rank[0]) <= worst:
            raise BundleError(
                f"the canary's rank on {where} is {rank[0]}, by the CPU it is {best} to {worst}: export the bundle "
                "without --gpu"
            )


class Canary:
    """Two trials that share nothing: neither item, action, gap nor the state before."""

    def __init__(self, bundle: Bundle) -> None:
        manifest = bundle.manifest
        plain, rng = Stepper(bundle, on_cpu=True), np.random.default_rng(0)
        self.trials: list[Trial] = []
        for item, action, gap_ms, feature in ((1, 1, -1, 0), (manifest.items, manifest.actions, 10**7, 1)):
            types = {name: np.float32 if name == PRICE else np.int64 for name in bundle.features}
            inputs = StepInputs(
                item=np.array([item]),
                action=np.array([action]),
                gap_ms=np.array([gap_ms]),
                features={name: np.array([feature], dtype) for name, dtype in types.items()},
            )
            state = rng.normal(size=(1, manifest.state_width)).astype(np.float32)
            representation = rng.normal(size=(1, manifest.representation_width)).astype(np.float32)
            next_state, next_representation = plain.step(inputs, state)
            trial = Trial(
                inputs=inputs,
                state=state,
                representation=representation,
                next_state=next_state,
                next_representation=next_representation,
                ranks=_allowed(bundle, plain, representation, inputs.item),
            )
            self.trials.append(trial)


def _allowed(
    bundle: Bundle, plain: Stepper, representation: NDArray[np.float32], item: NDArray[np.int64]
) -> tuple[int, int]:
    """Best and worst rank: float32 may move one by near ties, float16 further."""
    if bundle.gpu_ranks_in_float16:
        best, worst = float16_rank_limits(bundle, representation, item)
        return int(best[0]), int(worst[0])
    rank, slack = int(plain.rank(representation, item)[0]), 1 + bundle.manifest.items // 1000
    return rank - slack, rank + slack
