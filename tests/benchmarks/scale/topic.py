"""Sends the events of a run, and notes where in the topic each part of them ends."""

import random
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from streams.broker.topics import describe_topic
from streams.commands.replay.producer import Replay
from streams.config.settings import Settings
from tests.benchmarks.bench import load
from tests.benchmarks.scale.plan import ACTIVE_USERS, LEAD_EVENTS, TAIL_EVENTS, UNIFORM, WINDOWED, Run

EVENTS_A_MOVE = 100  # after so many events, another user takes the place of an active one
# Active users are far apart in memory, as users that came at different times would be. The stride reaches all users,
# unless it divides their number.
STRIDE = 7_919

Ends = dict[int, int]  # partition -> the next offset to be written


class Stretch(NamedTuple):
    """A part of the topic. The measured events lie between `begin` and `end`."""

    draw: str
    begin: Ends
    end: Ends


def windowed(users: int, draw: random.Random, i: int) -> int:
    """Draw one of the users that are active at the i-th event."""
    return (i // EVENTS_A_MOVE + draw.randrange(min(users, ACTIVE_USERS))) * STRIDE % users


def uniform(users: int, draw: random.Random, i: int) -> int:
    return draw.randrange(users)


def each_once(draw: random.Random, i: int) -> int:
    return i


DRAWS: dict[str, Callable[[int, random.Random, int], int]] = {WINDOWED: windowed, UNIFORM: uniform}


def fill(settings: Settings, run: Run) -> Ends:
    """Send an event of each user. Returns the end offsets of the topic."""
    return _send(settings, run.items, run.users, each_once, "fill")


def send_stretches(settings: Settings, run: Run, events: int) -> list[Stretch]:
    """Send the events of each stretch."""
    stretches = []
    for draw in run.draws:
        user_at = partial(DRAWS[draw], run.users)
        begin = _send(settings, run.items, LEAD_EVENTS, user_at, f"{draw}-lead")
        end = _send(settings, run.items, events + TAIL_EVENTS, user_at, draw)
        stretches.append(Stretch(draw, begin, end))
    return stretches


def send_windowed(settings: Settings, users: int, items: int, events: int) -> Ends:
    """Send events of a moving window of users. Returns the end offsets of the topic."""
    return _send(settings, items, events, partial(windowed, users), WINDOWED)


def _send(settings: Settings, items: int, count: int, user_at: load.UserAt, part: str) -> Ends:
    records = load.events(count, items=items, user_at=user_at, part=part)
    Replay(settings, settings.behavior_topic).run(records)
    return describe_topic(settings, settings.behavior_topic).end_offsets
