"""The preparation of a training log: leaves out repeats, bots and users with few events, and counts them.

The live system leaves out only duplicates of an event id. A log for evaluation is therefore prepared only on request,
because events that are left out do not count in the figures. This module needs neither torch nor I/O.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from encoder.data.event_log import MISSING, EventLog
from encoder.data.features import BRAND
from encoder.errors import InputError
from encoder.wording import counted

# A user with more events is taken for a bot: a person with an event every 30 s for eight hours makes 960 events.
# See docs/decisions.md#users-left-out-of-a-training.
MAX_EVENTS_PER_DAY = 1_000
_DAY_MS = 86_400_000


class Preparation(msgspec.Struct, frozen=True, kw_only=True):
    """What to leave out. The defaults leave out nothing."""

    drop_repeats: bool = False  # leave out events with the user, item, action and time of an earlier event
    max_events_per_day: int | None = None  # leave out users with more events in any 24 hours; None: no limit
    min_user_events: int = 1  # leave out users with fewer events
    # Items with fewer events are counted but their events stay, because the vocabulary maps them to the unknown item.
    min_support: int = 1


class PreparationReport(msgspec.Struct, frozen=True, kw_only=True):
    """What each step of a preparation found. A step sees only the events that the step before it has kept."""

    settings: Preparation
    events: int  # before the preparation
    kept: int  # after the preparation
    repeats: int  # counted even when drop_repeats is off
    bot_users: int
    bot_events: int
    short_users: int  # users with fewer than min_user_events events
    short_events: int
    # The following counts describe the events that were kept.
    items: int
    rare_items: int  # items with fewer than min_support events
    rare_events: int
    missing: dict[str, int]  # field -> number of events without a value

    def __str__(self) -> str:
        bound, shortest = self.settings.max_events_per_day, self.settings.min_user_events
        verb = "left out" if self.settings.drop_repeats else "kept"
        lines = [
            f"{self.kept:,} of {self.events:,} events after preparation",
            f"{self.repeats:,} exact repeats (same user, item, action and time): {verb}",
        ]
        if bound is not None:
            lines.append(
                f"{counted(self.bot_users, 'user')} above {counted(bound, 'event')} in 24 hours (bots), with "
                f"{counted(self.bot_events, 'event')}: left out"
            )
        if shortest > 1:
            lines.append(
                f"{counted(self.short_users, 'user')} below {shortest:,} events, with "
                f"{counted(self.short_events, 'event')}: left out"
            )
        if self.settings.min_support > 1:
            lines.append(
                f"{self.rare_items:,} of {self.items:,} items below {self.settings.min_support:,} events, with "
                f"{self.rare_events:,} events: too rare to enter the catalogue as new items"
            )
        lines.append("missing: " + ", ".join(f"{name} in {count:,}" for name, count in self.missing.items()))
        return "\n  ".join(lines)


def prepare(log: EventLog, settings: Preparation) -> tuple[EventLog, PreparationReport]:
    """Leave out events as the settings say. Returns the rest of the log, and what the steps found.

    Codes and lists of ids stay as they are. The same log and settings give the same result. Raises InputError when
    max_events_per_day is below 1.
    """
    if settings.max_events_per_day is not None and settings.max_events_per_day < 1:
        raise InputError(f"{settings.max_events_per_day} events a day at most: give a number above 0, or no bound")
    events = len(log)
    is_repeat = _repeats(log)
    if settings.drop_repeats:
        log = _without(log, is_repeat)
    is_bot = _bot_events(log, settings.max_events_per_day)
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
    """(n,) bool, whether an earlier event has the same user, item, action and time."""
    keys = (log.action, log.item, log.user, log.time_ms)
    order = np.lexsort(keys)  # the sort is stable, so equal events keep their order
    is_equal = np.logical_and.reduce([key[order][1:] == key[order][:-1] for key in keys])
    is_repeat = np.zeros(len(log), bool)
    is_repeat[order[1:][is_equal]] = True
    return is_repeat


def _bot_events(log: EventLog, bound: int | None) -> NDArray[np.bool_]:
    """(n,) bool, whether the event's user has more than `bound` events in less than 24 hours.

    A rate over seconds would not identify bots: logs whose times are whole days have many events at the same time.
    """
    if bound is None or len(log) <= bound:
        return np.zeros(len(log), bool)
    order = np.argsort(log.user, kind="stable")  # keeps each user's events in order of time
    user, time_ms = log.user[order], log.time_ms[order]
    is_over = (user[bound:] == user[:-bound]) & (time_ms[bound:] - time_ms[:-bound] < _DAY_MS)
    return np.isin(log.user, user[bound:][is_over])


def _missing(log: EventLog) -> dict[str, int]:
    brand = log.attributes.get(BRAND)
    return {
        "category": int((log.category == MISSING).sum()),
        "price": int(np.isnan(log.price).sum()),
        "brand": len(log) if brand is None else int((brand.codes == MISSING).sum()),
    }
