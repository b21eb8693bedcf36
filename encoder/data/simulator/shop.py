"""The simulated shop, which generates behaviour events. The true distribution of each next item is known."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import Column, EventLog
from encoder.data.simulator.catalogue import make_catalogue
from encoder.data.simulator.churn import LOST, churn_times_s, kept_events
from encoder.data.simulator.distributions import Floats, Ints
from encoder.data.simulator.population import DAY_S, STAPLES, make_population, session_starts
from encoder.data.simulator.rules import (
    ACTIONS,
    CART,
    DISCOUNT,
    FOLLOW,
    FUNNEL,
    KEEP_TOPIC,
    PROMOTED,
    SESSION_END,
    STAPLE,
    TASTE,
    TOPIC,
    VIEW,
    is_promotion,
)
from encoder.errors import InputError

END = datetime(2026, 1, 1, tzinfo=UTC)  # all events happen before this time
CHURN_SEED = 1


@dataclass(frozen=True)
class Simulation:
    """A simulated log of n events, with the hidden variables that the oracle knows."""

    log: EventLog
    topic: Ints  # (n,) topic of the event's session, a cluster of the catalogue
    session_time: Floats  # (n,) time of the event's session, as a fraction of the log's time
    first_day_ms: int  # the beginning of the log's time


class Shop:
    """A catalogue and a population of users. The same arguments give the same events.

    days: length of the log's time. churn: share of the users who leave during the log, see
    `encoder.data.simulator.churn`. Raises InputError when a count is too small, or when `churn` is not between 0 and 1.
    """

    def __init__(
        self, seed: int = 7, items: int = 2_000, users: int = 3_000, days: int = 30, churn: float = 0.0
    ) -> None:
        for name, value, least in (("seed", seed, 0), ("items", items, 20), ("users", users, 1), ("days", days, 1)):
            if value < least:
                raise InputError(f"{name} {value} of a simulated shop: give at least {least}")
        if not 0 <= churn <= 1:
            raise InputError(f"churn {churn} of a simulated shop: give a share of the users, 0 to 1")
        self.seed, self.days, self.churn = seed, days, churn
        random = np.random.default_rng(seed)
        self.catalogue = make_catalogue(items, random)
        self.population = make_population(users, self.catalogue, random)

    @property
    def item_ids(self) -> list[str]:
        """(N,) ids of the items of the catalogue."""
        return [f"item-{number:05d}" for number in range(self.catalogue.items)]

    def simulate(self, events: int) -> EventLog:
        """The first `events` events of the shop, sorted by time."""
        return self.run(events).log

    def run(self, events: int) -> Simulation:
        """The first `events` events of the shop with their hidden variables. Raises InputError below 1 event."""
        if events < 1:
            raise InputError(f"{events} events of a simulated shop: give at least 1")
        random = np.random.default_rng((self.seed, events))
        user, length = self._sessions(events, random)
        first = np.cumsum(length) - length  # row of a session's first event
        session = np.repeat(np.arange(len(length)), length)
        pause_s = np.clip(random.lognormal(3.3, 1.0, len(session)), 1.0, 1_200.0)
        pause_s[first] = 0.0
        since_s = np.cumsum(pause_s)
        since_s -= since_s[first][session]
        start_s = session_starts(self.population, user, since_s[first + length - 1], self.days, random)
        at = np.minimum(start_s / (self.days * DAY_S), 1.0)
        topic = self._topics(user, at, random)
        item, action = self._walk(user, length, first, topic, at, random)
        time_ms = np.round((start_s[session] + since_s) * 1000.0).astype(np.int64)
        kept = self._kept_events(events, user, start_s, length)
        happens = np.arange(len(session)) - first[session] < kept[session]
        time_ms[~happens] = np.iinfo(np.int64).max
        order = np.argsort(time_ms, kind="stable")[: min(events, int(happens.sum()))]
        session = session[order]
        first_day_ms = self._first_day_ms(int(time_ms[order][-1]))
        times = time_ms[order] + first_day_ms
        log = self._log(user[session], item[order], action[order], times, session, at[session])
        return Simulation(log, topic[session], at[session], first_day_ms)

    def item_list(self, simulation: Simulation) -> dict[str, list[Any]]:
        """What the shop knows of its N items, by the names of the fields of a catalogue of items.

        An item that exists from the start was first seen at the beginning of the log's time.
        """
        shop = self.catalogue
        seen_ms = simulation.first_day_ms + np.floor(shop.born * self.days * DAY_S * 1000).astype(np.int64)
        return {
            "item_id": self.item_ids,
            "name": shop.names,
            "category": [shop.categories[one] for one in shop.category.tolist()],
            "brand": [shop.brands[one] for one in shop.brand.tolist()],
            "price": shop.price.tolist(),
            "first_seen_ms": seen_ms.tolist(),
        }

    def _first_day_ms(self, last_ms: int) -> int:
        """last_ms: time of the last event, since the beginning of the log's time."""
        # A user with more sessions than fit into the days has sessions after the last day.
        days_over = max(0, last_ms // int(DAY_S * 1000) + 1 - self.days)
        return int(END.timestamp() * 1000) - (self.days + days_over) * int(DAY_S * 1000)

    def _kept_events(self, events: int, user: Ints, start_s: Floats, length: Ints) -> Ints:
        """(S,) number of events that happen in each session."""
        if not self.churn:
            return length
        # A separate generator leaves all other draws of the shop independent of the churn.
        random = np.random.default_rng((self.seed, events, CHURN_SEED))
        churn_s = churn_times_s(self.population.users, self.churn, self.days, random)
        return kept_events(user, start_s, length, churn_s, random)

    def _sessions(self, events: int, random: np.random.Generator) -> tuple[Ints, Ints]:
        """(S,) user and (S,) number of events of each session, sorted by user; together more than `events` events."""
        users = self.population.users
        count = int(events * SESSION_END * 1.03 / (1 - self.churn * LOST)) + 100
        per_user = random.multinomial(max(0, count - users), self.population.activity) + 1
        user = np.repeat(np.arange(users), per_user)
        return user, random.geometric(SESSION_END, len(user))

    def _topics(self, user: Ints, at: Floats, random: np.random.Generator) -> Ints:
        """(S,) topic of each session: that of the user's previous session, or a new topic from the user's taste."""
        drawn = self.population.draw_cluster(user, at, len(self.catalogue.brands), random)
        is_new = random.random(len(user)) >= KEEP_TOPIC
        is_new[np.flatnonzero(np.diff(user, prepend=-1))] = True  # the first session of each user
        return drawn[np.maximum.accumulate(np.where(is_new, np.arange(len(user)), 0))]

    def _walk(
        self, user: Ints, length: Ints, first: Ints, topic: Ints, at: Floats, random: np.random.Generator
    ) -> tuple[Ints, NDArray[np.int32]]:
        """(n,) item and (n,) action of every event. Step k draws the k-th event of all sessions at once."""
        item = np.zeros(int(length.sum()), dtype=np.int64)
        action = np.zeros(len(item), dtype=np.int32)
        by_length = np.argsort(-length, kind="stable")
        # active[k]: number of sessions with more than k events
        active = np.searchsorted(-length[by_length], -np.arange(length.max()), side="left")
        for step, count in enumerate(active.tolist()):
            sessions = by_length[:count]
            rows = first[sessions] + step
            next_item, next_action = self._search(user[sessions], topic[sessions], at[sessions], random)
            if step:
                before, stage = item[rows - 1], action[rows - 1]
                follows = random.random(count) < FOLLOW
                successor = self.catalogue.successors.draw_existing(
                    before[follows], at[sessions[follows]], self.catalogue.born, random
                )
                next_item[follows], next_action[follows] = successor, VIEW
                continues = random.random(count) < FUNNEL[stage]
                next_item = np.where(continues, before, next_item)
                next_action = np.where(continues, stage + 1, next_action)
            item[rows], action[rows] = next_item, next_action
        return item, action

    def _search(
        self, user: Ints, topic: Ints, at: Floats, random: np.random.Generator
    ) -> tuple[Ints, NDArray[np.int32]]:
        """(m,) item and (m,) action of users who look for another item."""
        shop, count = self.catalogue, len(user)
        source = np.searchsorted(np.cumsum([TOPIC, TASTE, STAPLE]), random.random(count), side="right")
        cluster = np.where(source == 0, topic, self.population.draw_cluster(user, at, len(shop.brands), random))
        item = shop.members.draw_existing(cluster, at, shop.born, random)
        staple = source == 2
        item[staple] = self.population.staples[user[staple], random.integers(0, STAPLES, int(staple.sum()))]
        popular = np.flatnonzero(source == 3)
        nothing = np.zeros(len(popular), dtype=np.int64)
        item[popular] = shop.popularity.draw_existing(nothing, at[popular], shop.born, random)
        promoted = popular[is_promotion(at[popular]) & (random.random(len(popular)) < PROMOTED)]
        item[promoted] = shop.promotion.draw(np.zeros(len(promoted), dtype=np.int64), random)
        return item, np.where(staple, CART, VIEW).astype(np.int32)

    def _log(
        self, user: Ints, item: Ints, action: NDArray[np.int32], time_ms: Ints, session: Ints, at: Floats
    ) -> EventLog:
        shop, seed = self.catalogue, self.seed
        item_ids = self.item_ids
        sessions, session_codes = np.unique(session, return_inverse=True)
        discount = np.where(is_promotion(at) & np.isin(item, shop.promotion.value), DISCOUNT, 0.0)
        return EventLog(
            user_ids=[f"user-{number:05d}" for number in range(self.population.users)],
            item_ids=item_ids,
            actions=list(ACTIONS),
            categories=shop.categories,
            user=user.astype(np.int32),
            item=item.astype(np.int32),
            action=action,
            time_ms=time_ms,
            category=shop.category[item].astype(np.int32),
            price=np.round(shop.price[item] * (1.0 - discount), 2),
            source=f"shop{seed}",
            session=Column([f"session-{number:06d}" for number in sessions.tolist()], session_codes.astype(np.int32)),
            attributes={"brand": Column(shop.brands, shop.brand[item].astype(np.int32))},
            item_names=dict(zip(item_ids, shop.names, strict=True)),
        )
