"""The users of the simulated shop: their tastes, their habits and the times of their sessions."""

from dataclasses import dataclass

import numpy as np

from encoder.data.simulator.catalogue import Catalogue
from encoder.data.simulator.distributions import Distributions, Floats, Ints

STAPLES = 4  # items that a user buys regularly
# Sum of the parameters of the Dirichlet distribution of tastes. A lower value gives a user fewer favourite categories.
TASTE_CONCENTRATION = 1.5
MAIN_BRAND, SECOND_BRAND = 0.7, 0.2  # probabilities of a user's favourite brands; all brands share the rest
DAY_S = 86_400.0
BREAK_S = 1_800.0  # shortest time between two sessions of a user


@dataclass(frozen=True)
class Population:
    """U users. A user's taste in categories at time t, from 0 to 1, is (1 - t) · early + t · late."""

    early: Distributions  # user -> category
    late: Distributions  # user -> category
    brand: Distributions  # user -> brand
    staples: Ints  # (U, STAPLES) items that the user buys regularly
    activity: Floats  # (U,) the user's share of all sessions
    hour: Floats  # (U,) usual hour of the day

    @property
    def users(self) -> int:
        """U."""
        return len(self.hour)

    def draw_cluster(self, user: Ints, at: Floats, brands: int, random: np.random.Generator) -> Ints:
        """(m,) users, (m,) times as fractions of the log's time -> (m,) clusters, drawn from the users' tastes."""
        is_late = random.random(len(user)) < at
        category = np.where(is_late, self.late.draw(user, random), self.early.draw(user, random))
        return category * brands + self.brand.draw(user, random)

    def clusters(self, user: Ints, at: Floats) -> Floats:
        """(m,) users, (m,) times -> (m, K) the distribution over clusters from which `draw_cluster` draws."""
        users = self.users
        late = at[:, None] * self.late.probability.reshape(users, -1)[user]
        category = (1 - at[:, None]) * self.early.probability.reshape(users, -1)[user] + late
        brand = self.brand.probability.reshape(users, -1)[user]
        return (category[:, :, None] * brand[:, None, :]).reshape(len(user), -1)


def make_population(users: int, catalogue: Catalogue, random: np.random.Generator) -> Population:
    """Draw a population with this number of users."""
    categories, brands = len(catalogue.categories), len(catalogue.brands)
    popular = np.arange(1, categories + 1) ** -0.5
    alpha = TASTE_CONCENTRATION * popular / popular.sum()
    early = random.dirichlet(alpha, users) + 1e-6  # above zero, so that every row can be normalised
    late = 0.5 * early + 0.5 * (random.dirichlet(alpha, users) + 1e-6)
    brand = np.full((users, brands), (1 - MAIN_BRAND - SECOND_BRAND) / brands)
    everyone = np.arange(users)
    brand[everyone, random.integers(0, brands, users)] += MAIN_BRAND
    brand[everyone, random.integers(0, brands, users)] += SECOND_BRAND
    activity = random.gamma(1.2, size=users)
    population = Population(
        early=Distributions.from_matrix(early),
        late=Distributions.from_matrix(late),
        brand=Distributions.from_matrix(brand),
        staples=np.zeros((users, STAPLES), dtype=np.int64),
        activity=activity / activity.sum(),
        hour=random.choice([8.0, 12.5, 18.0, 21.0], users, p=[0.2, 0.2, 0.25, 0.35]) + random.normal(0.0, 1.0, users),
    )
    start = np.zeros(users)
    for place in range(STAPLES):
        cluster = population.draw_cluster(everyone, start, brands, random)
        population.staples[:, place] = catalogue.members.draw_existing(cluster, start, catalogue.born, random)
    return population


def session_starts(
    population: Population, user: Ints, duration_s: Floats, days: int, random: np.random.Generator
) -> Floats:
    """(S,) start of each session, in seconds since the log's first midnight.

    user: (S,) ascending. duration_s: (S,). The sessions of a user are in ascending order and do not overlap. When a
    user's sessions do not fit into the log's days, the last sessions start after the last day.
    """
    hour = (population.hour[user] + random.normal(0.0, 1.5, len(user))) % 24.0
    wanted = random.integers(0, days, len(user)) * DAY_S + hour * 3600.0
    wanted = wanted[np.lexsort((wanted, user))]
    # A session starts at its wanted time, or when the user's previous session is over. Subtracting the duration of all
    # earlier sessions turns this rule into a running maximum. `apart` keeps the users separate in that maximum.
    spent = np.cumsum(duration_s + BREAK_S) - (duration_s + BREAK_S)
    spent -= spent[np.searchsorted(user, user)]
    apart = user * 2.0 * (days * DAY_S + spent.max())
    starts: Floats = np.maximum.accumulate(wanted - spent + apart) + spent - apart
    return starts
