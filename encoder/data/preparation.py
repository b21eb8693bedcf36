"""What is left out of an event log before a model sees it, each step counted. Pure, and free of torch.

The live system leaves out nothing but duplicates of one event id. So a log to evaluate on is prepared only where that
is asked for: what is left out there is left out of the figures.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import MISSING, EventLog
from encoder.errors import InputError

MAX_EVENTS_PER_DAY = 1_000  # no person: an event every 30 s for eight hours without a break makes 960
_DAY_MS = 86_400_000
_BRAND = "brand"  # the attribute


class Preparation(msgspec.Struct, frozen=True, kw_only=True):
    """What to leave out. The defaults leave out nothing."""

    drop_repeats: bool = False  # events with the user, item, action and time of an earlier one, under another event id
    max_events_per_day: int | None = None  # users with more events than this in any 24 hours go, with all their events
    min_user_events: int = 1  # users with fewer go
    min_support: int = 1  # items with fewer events are counted and stay: to the vocabulary they are the unknown item


class PreparationReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the steps found, in their order, each in what the one before it left."""

    settings: Preparation
    events: int  # before
    kept: int
    repeats: int  # also where they stay
    bot_users: int
    bot_events: int
    short_users: int  # with fewer than min_user_events
    short_events: int
    items: int  # after these steps, as everything below
    rare_items: int  # with less than min_support
    rare_events: int
    missing: dict[str, int]  # field -> events without it

    def __str__(self) -> str:
        bound, shortest = self.settings.max_events_per_day, self.settings.min_user_events
        verb = "left out" if self.settings.drop_repeats else "kept"
        lines = [
            f"{self.kept:,} of {self.events:,} events after preparation",
            f"{self.repeats:,} exact repeats (same user, item, action and time): {verb}",
        ]
        if bound is not None:
            lines.append(
                f"{self.bot_users:,} users above {bound:,} events in 24 hours (bots), with {self.bot_events:,} events: "
                "left out"
            )
        if shortest > 1:
            lines.append(
                f"{self.short_users:,} users below {shortest:,} events, with {self.short_events:,} events: left out"
            )
        if self.settings.min_support > 1:
            lines.append(
                f"{self.rare_items:,} of {self.items:,} items below {self.settings.min_support:,} events, with "
                f"{self.rare_events:,} events: unknown items to the model"
            )
        lines.append("missing: " + ", ".join(f"{name} in {count:,}" for name, count in self.missing.items()))
        return "\n  ".join(lines)


def prepare(log: EventLog, settings: Preparation) -> tuple[EventLog, PreparationReport]:
    """The log without what the settings leave out, and what the steps found.

    Codes and lists of names stay as they are. The same log and settings give the same result.
    Raises InputError where the settings make no sense.
    """
    if settings.max_events_per_day is not None and settings.max_events_per_day < 1:
        raise InputError(f"{settings.max_events_per_day} events a day at most: give a number above 0, or no bound")
    events = len(log)
    is_repeat = _repeats(log)
    if settings.drop_repeats:
        log = _without(log, is_repeat)
    is_bot = _of_bots(log, settings.max_events_per_day)
    bot_users = len(np.unique(log.user[is_bot]))
    log = _without(log, is_bot)
    is_short = np.bincount(log.user)[log.user] < settings.min_user_events
    short_users = len(np.unique(log.user[is_short]))
    log = _without(log, is_short)
    support = np.bincount(log.item)
    is_rare = (support > 0) & (support < settings.min_support)
    return log, PreparationReport(
        settings=settings,
        events=events,
        kept=len(log),
        repeats=int(is_repeat.sum()),
        bot_users=bot_users,
        bot_events=int(is_bot.sum()),
        short_users=short_users,
        short_events=int(is_short.sum()),
        items=int((support > 0).sum()),
        rare_items=int(is_rare.sum()),
        rare_events=int(support[is_rare].sum()),
        missing=_missing(log),
    )


def _without(log: EventLog, left_out: NDArray[np.bool_]) -> EventLog:
    return log[~left_out] if left_out.any() else log


def _repeats(log: EventLog) -> NDArray[np.bool_]:
    """(n,) whether an earlier event has the same user, item, action and time."""
    keys = (log.action, log.item, log.user, log.time_ms)
    order = np.lexsort(keys)  # stable: of equal events the first of the log stays the first
    is_equal = np.logical_and.reduce([key[order][1:] == key[order][:-1] for key in keys])
    is_repeat = np.zeros(len(log), bool)
    is_repeat[order[1:][is_equal]] = True
    return is_repeat


def _of_bots(log: EventLog, bound: int | None) -> NDArray[np.bool_]:
    """(n,) whether the event's user has more than `bound` events in less than 24 hours.

    A rate over seconds would be no sign of a bot: logs with times of days or seconds have many events at one time.
    """
    if bound is None or len(log) <= bound:
        return np.zeros(len(log), bool)
    order = np.argsort(log.user, kind="stable")  # each user's events in order of time
    user, time_ms = log.user[order], log.time_ms[order]
    is_over = (user[bound:] == user[:-bound]) & (time_ms[bound:] - time_ms[:-bound] < _DAY_MS)
    return np.isin(log.user, user[bound:][is_over])


def _missing(log: EventLog) -> dict[str, int]:
    brand = log.attributes.get(_BRAND)
    return {
        "category": int((log.category == MISSING).sum()),
        "price": int(np.isnan(log.price).sum()),
        "brand": len(log) if brand is None else int((brand.codes == MISSING).sum()),
    }
