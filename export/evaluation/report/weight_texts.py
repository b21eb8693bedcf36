"""What a bundle tells of the weights of its hybrid scores, as text. This module is pure."""

from collections.abc import Mapping
from typing import Any

from encoder.metrics.hybrid.parts import RANKINGS
from encoder.metrics.hybrid.scores import WEIGHTS

CATALOGUES = {"trained": "items with training events", "whole": "all items"}


def weight_texts(weights: Mapping[str, Mapping[str, float]], metrics: Mapping[str, Any]) -> list[str]:
    """One line for each scenario. weights, metrics: `hybrid` and `metrics` of a manifest."""
    return [
        f"hybrid score, {scenario}: weights {_weights(weights[scenario])}; "
        + _choice(weights[scenario], metrics.get("hybrid", {}), scenario)
        for scenario in WEIGHTS
        if scenario in weights
    ]


def _choice(weights: Mapping[str, float], told: Mapping[str, Any], scenario: str) -> str:
    """Where the weights come from, and their figures on the validation part."""
    if scenario not in told:
        return "no validation part has chosen them"
    choice = told[scenario]
    ranked_by, n = choice["ranked_by"], choice["ranked_by"]["hybrid"]["n"]
    if not choice["is_fitted"]:
        source = f"defaults, because the validation part has only {n:,} questions"
    else:
        source = f"best on {n:,} questions of the validation part among {CATALOGUES[told['catalogue']]}"
    if choice["weights"] != weights:
        source = f"given; {_weights(choice['weights'])} would be {source}"
    if not n:
        return source
    shown = [f"{name} {of['recall@20']:.4f} / {of['mrr@20']:.4f}" for name, of in _in_order(ranked_by)]
    return f"{source}. Recall@20 / MRR@20 there: {', '.join(shown)}"


def _in_order(ranked_by: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, ranked_by[name]) for name in RANKINGS]


def _weights(weights: Mapping[str, float]) -> str:
    return f"co {weights['co']:g}, content {weights['content']:g}"
