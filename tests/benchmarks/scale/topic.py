"""The events of a run, and where in its topic each part of them ends."""

import random
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from streams.broker.topics import describe_topic
from streams.commands.replay.producer import Replay
from streams.config.settings import Settings
from tests.benchmarks.bench import load
from tests.benchmarks.scale.plan import ACTIVE_USERS, LEAD_EVENTS, TAIL_EVENTS, UNIFORM, WINDOWED, Run

EVENTS_A_MOVE = 100  # until another user takes the place of one of these: 1,000 do while a worker's batches are filled
# Active users stand apart in memory, as users do who came at different times: this walks over all where it divides not.
STRIDE = 7_919

Ends = dict[int, int]  # partition -> the next offset to be written


class Stretch(NamedTuple):
    """A part of the topic: what is measured lies between."""

    draw: str
    begin: Ends
    end: Ends


def windowed(users: int, draw: random.Random, i: int) -> int:
    """A user of those that are active at the i-th event."""
    return (i // EVENTS_A_MOVE + draw.randrange(min(users, ACTIVE_USERS))) * STRIDE % users


def uniform(users: int, draw: random.Random, i: int) -> int:
    return draw.randrange(users)


def each_once(draw: random.Random, i: int) -> int:
    return i


DRAWS: dict[str, Callable[[int, random.Random, int], int]] = {WINDOWED: windowed, UNIFORM: uniform}


def fill(settings: Settings, run: Run) -> Ends:
    """Send an event of every user; where the topic then ends."""
    return _send(settings, run.items, run.users, each_once, "fill")


def send_stretches(settings: Settings, run: Run, events: int) -> list[Stretch]:
    """Send what is measured."""
    stretches = []
    for draw in run.draws:
        user_at = partial(DRAWS[draw], run.users)
        begin = _send(settings, run.items, LEAD_EVENTS, user_at, f"{draw}-lead")
        end = _send(settings, run.items, events + TAIL_EVENTS, user_at, draw)
        stretches.append(Stretch(draw, begin, end))
    return stretches


def send_windowed(settings: Settings, users: int, items: int, events: int) -> Ends:
    """Send so many events of a moving window of users; where the topic then ends."""
    return _send(settings, items, events, partial(windowed, users), WINDOWED)


def _send(settings: Settings, items: int, count: int, user_at: load.UserAt, part: str) -> Ends:
    records = load.events(count, items=items, user_at=user_at, part=part)
    Replay(settings, settings.behavior_topic).run(records)
    return describe_topic(settings, settings.behavior_topic).end_offsets
