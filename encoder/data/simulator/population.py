"""Who shops: users' tastes, habits and the times at which they come."""

from dataclasses import dataclass

import numpy as np

from encoder.data.simulator.catalogue import Catalogue
from encoder.data.simulator.draws import Draws, Floats, Ints

STAPLES = 4  # items that a user buys again and again
TASTE_CONCENTRATION = 1.5  # Dirichlet, over all categories together: the lower, the fewer categories a user cares for
MAIN_BRAND, SECOND_BRAND = 0.7, 0.2  # how often a user looks for these; else for any brand
DAY_S = 86_400.0
BREAK_S = 1_800.0  # between the sessions of a user there is at least this


@dataclass(frozen=True)
class Population:
    """U users. A user's taste at time t (0..1) is (1 - t) · early + t · late, over categories."""

    early: Draws  # user -> category
    late: Draws  # user -> category
    brand: Draws  # user -> brand
    staples: Ints  # (U, STAPLES) items
    activity: Floats  # (U,) share of all sessions
    hour: Floats  # (U,) of the day at which a user likes to come

    @property
    def users(self) -> int:
        return len(self.hour)

    def draw_cluster(self, user: Ints, at: Floats, brands: int, random: np.random.Generator) -> Ints:
        """A (category, brand) after each user's taste at time `at`."""
        is_late = random.random(len(user)) < at
        category = np.where(is_late, self.late.draw(user, random), self.early.draw(user, random))
        return category * brands + self.brand.draw(user, random)

    def clusters(self, user: Ints, at: Floats) -> Floats:
        """(m, K) the distribution that `draw_cluster` draws from."""
        users = self.users
        late = at[:, None] * self.late.probability.reshape(users, -1)[user]
        category = (1 - at[:, None]) * self.early.probability.reshape(users, -1)[user] + late
        brand = self.brand.probability.reshape(users, -1)[user]
        return (category[:, :, None] * brand[:, None, :]).reshape(len(user), -1)


def make_population(users: int, catalogue: Catalogue, random: np.random.Generator) -> Population:
    categories, brands = len(catalogue.categories), len(catalogue.brands)
    popular = np.arange(1, categories + 1) ** -0.5
    alpha = TASTE_CONCENTRATION * popular / popular.sum()
    early = random.dirichlet(alpha, users) + 1e-6  # not quite zero, so every row can be normalised
    late = 0.5 * early + 0.5 * (random.dirichlet(alpha, users) + 1e-6)
    brand = np.full((users, brands), (1 - MAIN_BRAND - SECOND_BRAND) / brands)
    everyone = np.arange(users)
    brand[everyone, random.integers(0, brands, users)] += MAIN_BRAND
    brand[everyone, random.integers(0, brands, users)] += SECOND_BRAND
    activity = random.gamma(1.2, size=users)
    population = Population(
        early=Draws.dense(early),
        late=Draws.dense(late),
        brand=Draws.dense(brand),
        staples=np.zeros((users, STAPLES), dtype=np.int64),
        activity=activity / activity.sum(),
        hour=random.choice([8.0, 12.5, 18.0, 21.0], users, p=[0.2, 0.2, 0.25, 0.35]) + random.normal(0.0, 1.0, users),
    )
    start = np.zeros(users)
    for place in range(STAPLES):
        cluster = population.draw_cluster(everyone, start, brands, random)
        population.staples[:, place] = catalogue.members.draw_born(cluster, start, catalogue.born, random)
    return population


def session_starts(
    population: Population, user: Ints, duration_s: Floats, days: int, random: np.random.Generator
) -> Floats:
    """(S,) seconds since the log's first midnight; ascending within a user and without overlap.

    `user` (S,) is ascending. A user with more sessions than fit runs on past the last day.
    """
    hour = (population.hour[user] + random.normal(0.0, 1.5, len(user))) % 24.0
    wanted = random.integers(0, days, len(user)) * DAY_S + hour * 3600.0
    wanted = wanted[np.lexsort((wanted, user))]
    # A session starts at its wanted time or when the one before is over: a running maximum of the times less what the
    # user's earlier sessions take; `apart` keeps the users from each other in it.
    spent = np.cumsum(duration_s + BREAK_S) - (duration_s + BREAK_S)
    spent -= spent[np.searchsorted(user, user)]
    apart = user * 2.0 * (days * DAY_S + spent.max())
    starts: Floats = np.maximum.accumulate(wanted - spent + apart) + spent - apart
    return starts
