"""What the simulated shop sells, and how its items follow each other."""

from dataclasses import dataclass

import numpy as np

from encoder.data.simulator.draws import Draws, Floats, Ints
from encoder.data.simulator.names import BRANDS, PRODUCTS, product_name

ITEMS_PER_CLUSTER = 14  # about; a cluster is one brand in one category
POPULARITY_EXPONENT = 0.7  # Zipf: the p-th most popular item is wanted p^-0.7 as often
NEW_SHARE = 0.12  # of the items appear while the log runs
SUCCESSORS = 8  # items that an item leads to, over half of them of its own category
PROMOTED_ITEMS = 30


@dataclass(frozen=True)
class Catalogue:
    """N items in K clusters (category, brand), cluster = category * brands + brand."""

    categories: list[str]
    brands: list[str]
    cluster: Ints  # (N,)
    born: Floats  # (N,) when an item appears, as a fraction of the log's time; 0 for most
    price: Floats  # (N,)
    names: list[str]
    members: Draws  # cluster -> item
    popularity: Draws  # one distribution over all items
    promotion: Draws  # one distribution over the promoted items
    successors: Draws  # item -> items that follow it in a session

    @property
    def items(self) -> int:
        return len(self.born)

    @property
    def category(self) -> Ints:
        return self.cluster // len(self.brands)

    @property
    def brand(self) -> Ints:
        return self.cluster % len(self.brands)

    def successors_of(self, item: Ints) -> tuple[Ints, Floats]:
        """(m, SUCCESSORS) the items that follow each item, and how likely."""
        value = self.successors.value.reshape(self.items, SUCCESSORS)
        return value[item], self.successors.probability.reshape(self.items, SUCCESSORS)[item]


def make_catalogue(items: int, random: np.random.Generator) -> Catalogue:
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
    born[first_of_cluster] = 0.0  # so that every cluster can be drawn from at any time
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
        members=Draws.of(cluster, everything, wanted),
        popularity=Draws.of(one_row, everything, wanted),
        promotion=Draws.of(one_row[: len(promoted)], promoted, np.ones(len(promoted))),
        successors=_successors(category, old, wanted, random),
    )


def _successors(category: Ints, old: Ints, wanted: Floats, random: np.random.Generator) -> Draws:
    """Items lead to items: half to their own category, half anywhere; the first of them is never a new item."""
    items = len(category)
    anywhere = Draws.of(np.zeros(items, dtype=np.int64), np.arange(items), np.sqrt(wanted))
    similar = Draws.of(category, np.arange(items), np.sqrt(wanted))
    columns = [old[random.integers(0, len(old), items)]]
    for place in range(1, SUCCESSORS):
        rows = category if place % 2 else np.zeros(items, dtype=np.int64)
        columns.append((similar if place % 2 else anywhere).draw(rows, random))
    weights = np.arange(1, SUCCESSORS + 1) ** -0.8
    row = np.repeat(np.arange(items), SUCCESSORS)
    return Draws.of(row, np.stack(columns, axis=1).ravel(), np.tile(weights, items))


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
