"""Events whose results are known: a device steps them before the first event of a user.

A captured graph may read its inputs from an old address, or a memory may not be written in place. Both faults give
plausible numbers. So two different events go through the same buffers one after the other, and each has to give its own
result. See docs/decisions.md#two-known-events-at-the-start
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.data.features import PRICE
from encoder.data.recent_items import FIELDS
from encoder.errors import BundleError
from export.runtime.bundle import Bundle
from export.runtime.float16_ranks import float16_rank_limits
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper

# Of each component, relative to the component where that is above 1. The tolerance is far above float32's rounding, and
# far below the difference of another event.
TOLERANCE = 1e-3


class KnownEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of one user, and its result by the plain graphs on the CPU."""

    inputs: StepInputs  # B = 1
    state: NDArray[np.float32]  # (1, S) before the event
    representation: NDArray[np.float32]  # (1, R) before the event
    next_state: NDArray[np.float32]  # (1, S)
    next_representation: NDArray[np.float32]  # (1, R)
    rank_limits: tuple[int, int]  # the best and the worst rank that a device may give

    def check(self, state: NDArray[np.float32], representation: NDArray[np.float32], rank: int, where: str) -> None:
        """Raise BundleError where a device's (1, S) state, (1, R) representation and rank are not the known result.

        where: the device and the batch size, for the message.
        """
        for what, actual, expected in (
            ("state", state, self.next_state),
            ("representation", representation, self.next_representation),
        ):
            difference = float((np.abs(actual - expected) / np.maximum(1, np.abs(expected))).max())
            # A difference that is not a number fails this comparison, as it should.
            if not difference <= TOLERANCE:
                raise BundleError(
                    f"the {what} after a known event on {where} differs by {difference:g} from the CPU's: this device, "
                    "or this version of ONNX Runtime on it, does not step correctly; export the bundle without --gpu"
                )
        best, worst = self.rank_limits
        if not best <= rank <= worst:
            raise BundleError(
                f"the rank of a known event on {where} is {rank}, on the CPU it is {best} to {worst}: export the "
                "bundle without --gpu"
            )


def known_events(bundle: Bundle) -> list[KnownEvent]:
    """Two events that have neither item, action, gap, features nor state in common."""
    manifest = bundle.manifest
    plain, rng = Stepper(bundle, on_cpu=True), np.random.default_rng(0)
    dtypes = {name: np.float32 if name == PRICE else np.int64 for name in bundle.features}
    events: list[KnownEvent] = []
    for item, action, gap_ms, feature in ((1, 1, -1, 0), (manifest.items, manifest.actions, 10**7, 1)):
        inputs = StepInputs(
            item=np.array([item]),
            action=np.array([action]),
            gap_ms=np.array([gap_ms]),
            features={name: np.array([feature], dtype) for name, dtype in dtypes.items()},
        )
        state = random_state(bundle, rng)
        representation = rng.normal(size=(1, manifest.representation_width)).astype(np.float32)
        next_state, next_representation = plain.step(inputs, state)
        event = KnownEvent(
            inputs=inputs,
            state=state,
            representation=representation,
            next_state=next_state,
            next_representation=next_representation,
            rank_limits=_rank_limits(bundle, plain, bundle.queries(representation, state), inputs.item),
        )
        events.append(event)
    return events


def random_state(bundle: Bundle, rng: np.random.Generator) -> NDArray[np.float32]:
    """(1, S) of random numbers. Recent and bought items are distinct items of the catalogue, and other fields of recent
    items are positive."""
    manifest, places = bundle.manifest, bundle.manifest.recent_places
    state = rng.normal(size=(1, manifest.state_width)).astype(np.float32)
    if places:
        fields = np.abs(state[0, -len(FIELDS) * places :]).reshape(len(FIELDS), places)
        fields[0], fields[1] = _random_items(manifest.items, places, rng), 1
        state[0, -len(FIELDS) * places :] = fields.ravel()
    if manifest.bought_places:
        state[0, : manifest.bought_places] = _random_items(manifest.items, manifest.bought_places, rng)
    return state


def _random_items(items: int, places: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(places,) distinct items; at least one place stays empty."""
    item = np.zeros(places, np.float32)
    drawn = rng.permutation(items)[: places - 1] + 1
    item[: len(drawn)] = drawn
    return item


def _rank_limits(
    bundle: Bundle, plain: Stepper, query: NDArray[np.float32], item: NDArray[np.int64]
) -> tuple[int, int]:
    """The best and the worst rank of one item. Near ties may move a rank in float32, and further in float16."""
    if bundle.gpu_ranks_in_float16:
        best, worst = float16_rank_limits(bundle, query, item)
        return int(best[0]), int(worst[0])
    rank, slack = int(plain.rank(query, item)[0]), 1 + bundle.manifest.items // 1000
    return rank - slack, rank + slack
