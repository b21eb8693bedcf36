"""The weights of hybrid scores that a bundle gets: given ones, those of the validation part, or the defaults."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from encoder.errors import InputError
from encoder.metrics.hybrid.choice import HybridChoices
from encoder.metrics.hybrid.scores import WEIGHTS, HybridWeights

Weights = dict[str, dict[str, float]]  # scenario -> part -> weight


def parse_weights(texts: Sequence[str]) -> Weights:
    """`home=CO,CONTENT` and `cart=CO,CONTENT` -> the weights. Raises InputError where a text is none of these."""
    weights: Weights = {}
    for text in texts:
        scenario, _, values = text.partition("=")
        try:
            co, content = (float(value) for value in values.split(","))
        except ValueError:
            co = content = math.nan
        if scenario not in WEIGHTS or not (0 <= co < math.inf and 0 <= content < math.inf):
            raise InputError(
                f"--hybrid-weights {text}: write SCENARIO=CO,CONTENT with a scenario of {', '.join(WEIGHTS)} and two "
                "weights from 0 on, such as home=1,2"
            )
        weights[scenario] = HybridWeights(co, content)._asdict()
    return weights


def bundle_weights(
    choices: HybridChoices, given: Weights, *, has_untrained_items: bool
) -> tuple[Weights, dict[str, Any]]:
    """The weights of a bundle, and what its manifest tells of their choice, {} without one.

    choices: of the checkpoint. has_untrained_items: whether the bundle has items without training events.
    """
    catalogue = "whole" if has_untrained_items else "trained"
    chosen = choices.get(catalogue, {})
    weights: Mapping[str, Mapping[str, float]] = {**WEIGHTS, **{name: one.weights for name, one in chosen.items()}}
    weights = {**weights, **given}
    told = {"catalogue": catalogue, **msgspec.to_builtins(chosen)} if chosen else {}
    return {name: dict(of) for name, of in weights.items()}, told
