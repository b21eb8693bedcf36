"""Descriptions of the items of the simulated shop: texts, and vectors as embedders of texts and pictures would give.

The vectors carry hidden variables of the shop. The text of an item tells its category, its brand and the items that it
goes with, and its picture tells its category and its appeal. All vectors are disturbed by noise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encoder.data.simulator.catalogue import SUCCESSORS, Catalogue
from encoder.data.simulator.distributions import Floats, Ints

TEXT_WIDTH, PICTURE_WIDTH = 64, 32
MENTIONED = 2  # items that a text mentions
TEXT_NOISE, PICTURE_NOISE = 0.5, 0.5  # length of the noise, where a signal has about the length 1
DESCRIPTION_SEED = 2


@dataclass(frozen=True)
class Descriptions:
    """The descriptions of the N items of a catalogue."""

    texts: list[str]  # (N,)
    text_vectors: NDArray[np.float32]  # (N, TEXT_WIDTH)
    picture_vectors: NDArray[np.float32]  # (N, PICTURE_WIDTH)


def describe(catalogue: Catalogue, seed: int) -> Descriptions:
    """Draw the descriptions. seed: that of the shop. The draws of the shop's events do not depend on these draws."""
    random = np.random.default_rng((seed, DESCRIPTION_SEED))
    before, after, probability = _predecessors(catalogue)
    category, brand = (
        _directions(len(names), TEXT_WIDTH, random)[of]
        for names, of in ((catalogue.categories, catalogue.category), (catalogue.brands, catalogue.brand))
    )
    own = _directions(catalogue.items, TEXT_WIDTH, random)
    goes_with = np.zeros((catalogue.items, TEXT_WIDTH))
    np.add.at(goes_with, after, probability[:, None] * own[before])
    look = _directions(len(catalogue.categories), PICTURE_WIDTH, random)[catalogue.category]
    demand = np.log(catalogue.popularity.probability)
    appeal = ((demand - demand.mean()) / demand.std())[:, None] * _directions(1, PICTURE_WIDTH, random)
    return Descriptions(
        _texts(catalogue, before, after),
        _disturbed(category + brand + goes_with, TEXT_NOISE, random),
        _disturbed(look + appeal, PICTURE_NOISE, random),
    )


def _predecessors(catalogue: Catalogue) -> tuple[Ints, Ints, Floats]:
    """(E,) item, (E,) item that follows it, (E,) probability, by descending probability."""
    value, probability = catalogue.successors_of(np.arange(catalogue.items))
    before: Ints = np.repeat(np.arange(catalogue.items), SUCCESSORS)
    order = np.argsort(-probability.ravel(), kind="stable")
    return before[order], value.ravel()[order], probability.ravel()[order]


def _texts(catalogue: Catalogue, before: Ints, after: Ints) -> list[str]:
    mentioned: list[list[str]] = [[] for _ in range(catalogue.items)]
    for one, other in zip(before.tolist(), after.tolist(), strict=True):
        name = catalogue.names[one]
        if len(mentioned[other]) < MENTIONED and name not in mentioned[other]:
            mentioned[other].append(name)
    texts = []
    for name, category, others in zip(catalogue.names, catalogue.category.tolist(), mentioned, strict=True):
        department, _, kind = catalogue.categories[category].partition(".")
        goes_with = f" Goes with {' and '.join(others)}." if others else ""
        texts.append(f"{name}. From our {kind} range of {department}.{goes_with}")
    return texts


def _directions(count: int, width: int, random: np.random.Generator) -> Floats:
    """(count, width) random directions with a length of about 1."""
    return random.normal(0.0, width**-0.5, (count, width))


def _disturbed(vectors: Floats, noise: float, random: np.random.Generator) -> NDArray[np.float32]:
    items, width = vectors.shape
    return (vectors + noise * _directions(items, width, random)).astype(np.float32)
