"""The catalogue of the simulated shop, and the items that follow each item."""

from dataclasses import dataclass

import numpy as np

from encoder.data.simulator.distributions import Distributions, Floats, Ints
from encoder.data.simulator.product_names import BRANDS, PRODUCTS, product_name

ITEMS_PER_CLUSTER = 14  # approximately; a cluster is one brand in one category
POPULARITY_EXPONENT = 0.7  # Zipf's law: the demand for the p-th most popular item is proportional to p^-0.7
NEW_SHARE = 0.12  # share of the items that appear after the start of the log
SUCCESSORS = 8  # items that can follow an item in a session
PROMOTED_ITEMS = 30


@dataclass(frozen=True)
class Catalogue:
    """N items in K clusters. A cluster is a category and a brand: cluster = category * number of brands + brand."""

    categories: list[str]
    brands: list[str]
    cluster: Ints  # (N,)
    born: Floats  # (N,) time at which the item appears, as a fraction of the log's time; 0 for most items
    price: Floats  # (N,)
    names: list[str]
    members: Distributions  # cluster -> item
    popularity: Distributions  # row 0 is a distribution over all items
    promotion: Distributions  # row 0 is a distribution over the promoted items
    successors: Distributions  # item -> next item in the session

    @property
    def items(self) -> int:
        """N."""
        return len(self.born)

    @property
    def category(self) -> Ints:
        """(N,) category of each item."""
        return self.cluster // len(self.brands)

    @property
    def brand(self) -> Ints:
        """(N,) brand of each item."""
        return self.cluster % len(self.brands)

    def successors_of(self, item: Ints) -> tuple[Ints, Floats]:
        """(m,) items -> (m, SUCCESSORS) items that follow each item, (m, SUCCESSORS) their probabilities."""
        value = self.successors.value.reshape(self.items, SUCCESSORS)
        return value[item], self.successors.probability.reshape(self.items, SUCCESSORS)[item]


def make_catalogue(items: int, random: np.random.Generator) -> Catalogue:
    """Draw a catalogue with this number of items."""
    categories = list(PRODUCTS)[: max(1, min(len(PRODUCTS), items // ITEMS_PER_CLUSTER))]
    brands = list(BRANDS)[: max(1, min(len(BRANDS), items // (ITEMS_PER_CLUSTER * len(categories))))]
    clusters = len(categories) * len(brands)
    share = np.repeat(np.arange(1, len(categories) + 1) ** -0.4, len(brands))
    extra = random.choice(clusters, items - clusters, p=share / share.sum())
    cluster = random.permutation(np.concatenate((np.arange(clusters), extra))).astype(np.int64)
    wanted = random.permutation(np.arange(1, items + 1) ** -POPULARITY_EXPONENT)
    born = np.where(random.random(items) < NEW_SHARE, random.uniform(0.05, 0.9, items), 0.0)
    by_demand = np.argsort(-wanted)
    first_of_cluster = by_demand[np.unique(cluster[by_demand], return_index=True)[1]]
    born[first_of_cluster] = 0.0  # every cluster has an item at any time
    everything = np.arange(items)
    one_row = np.zeros(items, dtype=np.int64)
    old = everything[born == 0.0]
    promoted = random.choice(old, min(PROMOTED_ITEMS, len(old)), replace=False)
    category = cluster // len(brands)
    return Catalogue(
        categories=categories,
        brands=brands,
        cluster=cluster,
        born=born,
        price=_prices(categories, brands, cluster, random),
        names=_names(categories, brands, cluster),
        members=Distributions.from_entries(cluster, everything, wanted),
        popularity=Distributions.from_entries(one_row, everything, wanted),
        promotion=Distributions.from_entries(one_row[: len(promoted)], promoted, np.ones(len(promoted))),
        successors=_successors(category, old, wanted, random),
    )


def _successors(category: Ints, old: Ints, wanted: Floats, random: np.random.Generator) -> Distributions:
    """item -> items that follow it. Half of them have the item's category, and the first one exists from the start."""
    items = len(category)
    anywhere = Distributions.from_entries(np.zeros(items, dtype=np.int64), np.arange(items), np.sqrt(wanted))
    similar = Distributions.from_entries(category, np.arange(items), np.sqrt(wanted))
    columns = [old[random.integers(0, len(old), items)]]
    for place in range(1, SUCCESSORS):
        rows = category if place % 2 else np.zeros(items, dtype=np.int64)
        columns.append((similar if place % 2 else anywhere).draw(rows, random))
    weights = np.arange(1, SUCCESSORS + 1) ** -0.8
    row = np.repeat(np.arange(items), SUCCESSORS)
    return Distributions.from_entries(row, np.stack(columns, axis=1).ravel(), np.tile(weights, items))


def _prices(categories: list[str], brands: list[str], cluster: Ints, random: np.random.Generator) -> Floats:
    typical = np.array([PRODUCTS[name][0] for name in categories])[cluster // len(brands)]
    tier = random.lognormal(0.0, 0.3, len(brands))[cluster % len(brands)]
    return np.maximum(np.round(typical * tier * random.lognormal(0.0, 0.2, len(cluster)), 2), 0.5)


def _names(categories: list[str], brands: list[str], cluster: Ints) -> list[str]:
    counts = [0] * (len(categories) * len(brands))
    names = []
    for place in cluster.tolist():
        names.append(product_name(brands[place % len(brands)], categories[place // len(brands)], counts[place]))
        counts[place] += 1
    return names
