"""The alarms of a bundle: which figures are watched, when blocks end, and what the events say."""

import random

import pytest

from streams.contracts.alarm_events import AlarmEvent
from streams.monitor.drift.blocks import BLOCK_EVENTS, BLOCK_MS, MAX_ACTIONS
from streams.monitor.drift.level import LEARN_BLOCKS
from streams.monitor.drift.watch import WARM_UP_BLOCKS, Watch
from tests.support.monitoring.evaluations import evaluation

LEARNED = (WARM_UP_BLOCKS + LEARN_BLOCKS) * BLOCK_EVENTS
STEP_MS = 25  # a block of BLOCK_EVENTS events takes longer than BLOCK_MS


class Feed:
    """Sends events of 50 items to a watch."""

    def __init__(self) -> None:
        self.watch = Watch("gru-1")
        self.alarms: list[AlarmEvent] = []
        self._choose = random.Random(3)
        self.sent = 0

    def send(self, events: int, rank: int = 2, known: float = 1.0, actions: tuple[str, ...] = ("view", "cart")) -> None:
        for _ in range(events):
            choose = self._choose
            event = evaluation(
                self.sent,
                item=f"item-{choose.randrange(50)}",
                rank=(rank if choose.random() < 0.5 else 5) if choose.random() < known else None,
                action=choose.choice(actions),
                state_age_ms=int(choose.lognormvariate(10, 1)),
            )
            self.alarms += self.watch.observe(event, choose.randrange(30), self.sent * STEP_MS)
            self.sent += 1

    def changes(self) -> list[tuple[str, str, str]]:
        return [(alarm.name, alarm.slice, alarm.state) for alarm in self.alarms]


@pytest.fixture
def feed() -> Feed:
    feed = Feed()
    feed.send(LEARNED + 20 * BLOCK_EVENTS)
    assert feed.alarms == []
    return feed


def test_a_worse_rank_raises_one_alarm_that_ends_with_the_better_rank(feed: Feed) -> None:
    feed.send(6 * BLOCK_EVENTS, rank=9)
    assert feed.changes() == [("quality_drop", "all", "firing")]
    fired = feed.alarms[0]
    assert fired.id == f"gru-1-quality_drop-all-{fired.starts_at_ms}-firing"
    assert fired.value < fired.expected
    assert f"{fired.expected:.4g}" in fired.detail
    assert feed.watch.firing()["quality_drop", "all"]
    feed.send(60 * BLOCK_EVENTS)
    assert feed.changes()[1:] == [("quality_drop", "all", "resolved")]
    assert feed.alarms[1].starts_at_ms == fired.starts_at_ms
    assert not feed.watch.firing()["quality_drop", "all"]


def test_unknown_items_and_a_stopped_action_raise_their_alarms(feed: Feed) -> None:
    feed.send(6 * BLOCK_EVENTS, known=0.9)
    assert ("unknown_items", "all", "firing") in feed.changes()
    feed.send(6 * BLOCK_EVENTS, actions=("view",))
    assert ("action_mix", "action=cart", "firing") in feed.changes()


def test_an_action_that_is_new_raises_its_alarm(feed: Feed) -> None:
    feed.send(6 * BLOCK_EVENTS, actions=("view", "cart", "gift"))
    assert ("action_mix", "action=gift", "firing") in feed.changes()


def test_longer_vectors_raise_an_alarm() -> None:
    watch = Watch("gru-1")
    alarms = []
    for number in range((LEARN_BLOCKS + 10) * BLOCK_EVENTS):
        alarms += watch.observe_norm(5.0 + number % 7 * 0.1, number)
    assert alarms == []
    for number in range(6 * BLOCK_EVENTS):
        alarms += watch.observe_norm(7.0 + number % 7 * 0.1, number)
    assert [(alarm.name, alarm.state) for alarm in alarms] == [("vector_norm", "firing")]


def test_a_block_lasts_ten_seconds_at_least() -> None:
    watch = Watch("gru-1")
    for number in range(LEARNED + 50 * BLOCK_EVENTS):
        assert watch.observe(evaluation(number), 1, number // 100) == [], "50 events a ms: no block is over"
    assert watch.firing() == {}
    assert watch.observe(evaluation(10**9), 1, BLOCK_MS) == []


def test_the_number_of_watched_actions_is_bounded() -> None:
    watch = Watch("gru-1")
    for number in range(LEARNED + 2 * BLOCK_EVENTS):
        watch.observe(evaluation(number, action=f"action-{number % 40}"), 1, number * STEP_MS)
    slices = {slice_name for name, slice_name in watch.firing() if name == "action_mix"}
    assert len(slices) == MAX_ACTIONS + 1
    assert "action=other" in slices
