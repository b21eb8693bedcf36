"""The topics that a monitor reads, and the state that says how far the topics were read."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from export.runtime.bundle import Bundle
from streams.broker.decoding.update_reader import UpdateReader
from streams.broker.topics import describe_topic, ensure_monitor_topics
from streams.config.settings import Settings
from streams.contracts.metrics_events import MetricsEvent
from streams.monitor.frozen.comparison import FrozenComparison
from streams.monitor.saved_state import SavedState, State
from streams.monitor.scoring.bundle_scoreboards import BundleScoreboards
from streams.monitor.topic_follower import Positions, TopicFollower

logger = logging.getLogger(__name__)

POLL_TIMEOUT_S = 0.2


@dataclass(frozen=True)
class Extras:
    """What a monitor does besides scores and metrics events.

    alarms: publish alarm events, and tell the setting `alarms_webhook`. predictions: score other systems. bundle: score
    frozen representations of this bundle's users, and watch the length of the vectors. comparisons: publish how pairs
    of bundles compare. pair: compare this champion and this challenger alone. state: go on where the last monitor
    stopped; the state must be acquired.
    """

    alarms: bool = False
    predictions: bool = False
    bundle: Bundle | None = None
    comparisons: bool = False
    pair: tuple[str, str] | None = None
    state: SavedState | None = None


class Inputs:
    """Reads the topics in order of time into scoreboards, and saves the scoreboards with the positions."""

    def __init__(self, settings: Settings, topic: str, extras: Extras) -> None:
        self._settings = settings
        self._topic = topic
        self._extras = extras
        self._frozen = None if extras.bundle is None else FrozenComparison(extras.bundle)
        topics = [topic]
        if extras.bundle is not None:
            topics.append(settings.updates_topic)
        if extras.predictions:
            topics.append(settings.predictions_topic)
        self._follower = TopicFollower(settings, topics)
        self._updates = UpdateReader(settings)
        self._topic_id = ""

    @property
    def lag(self) -> int:
        """Records of all topics that were not scored yet."""
        return self._follower.lag

    @property
    def is_caught_up(self) -> bool:
        """Whether every record of all topics was returned by `poll`. False before the first records are asked for."""
        return self._follower.is_caught_up

    @property
    def is_past_start(self) -> bool:
        """Whether every record was returned that the topics held at the start. A busy topic may go on to lag."""
        return self._follower.is_past_start

    @property
    def expired(self) -> int:
        """Records that retention deleted while no monitor ran."""
        return self._follower.expired

    async def start(self, empty: BundleScoreboards) -> BundleScoreboards:
        """Connect. Returns the scoreboards to go on with: those of the state, or `empty`. Raises BrokerError."""
        if self._extras.alarms or self._extras.predictions or self._extras.comparisons:
            await asyncio.to_thread(ensure_monitor_topics, self._settings)
        await self._follower.connect()
        scoreboards, positions = empty, Positions()
        if self._extras.state is not None:
            topic = await asyncio.to_thread(describe_topic, self._settings, self._topic)
            self._topic_id = str(topic.topic_id)
            level = logging.WARNING if self._extras.state.exists() else logging.INFO
            state = await asyncio.to_thread(self._extras.state.load, self._topic_id)
            if isinstance(state, State):
                scoreboards, positions = state
            else:
                logger.log(level, "the monitor reads the evaluation topic from its beginning: %s", state)
        scoreboards.pairs.choose(self._extras.pair)
        # Representations are not in the state, so the updates topic is read again.
        positions.pop(self._settings.updates_topic, None)
        self._follower.follow(positions)
        return scoreboards

    async def stop(self) -> None:
        await self._follower.stop()
        if self._extras.state is not None:
            self._extras.state.release()

    async def poll(self) -> Sequence[Any]:
        """The next records of all topics in order of time. Waits for the schemas of updates.

        Raises BrokerError, SettingsError.
        """
        records = await self._follower.poll(POLL_TIMEOUT_S)
        if self._frozen is not None:
            await self._updates.prepare([record for record in records if record.topic == self._settings.updates_topic])
        return records

    def score(self, records: Sequence[Any], scoreboards: BundleScoreboards) -> list[MetricsEvent]:
        """Score the records. Returns the metrics of intervals that ended."""
        ended: list[MetricsEvent] = []
        for topic, group in groupby(records, key=lambda record: record.topic):
            if topic == self._topic:
                ended += scoreboards.observe(list(group), self._frozen)
            elif topic == self._settings.predictions_topic:
                for record in group:
                    scoreboards.predict(record)
            elif self._frozen is not None:
                for record in group:
                    scoreboards.update(record, self._frozen, self._updates.decode)
        return ended

    def save(self, scoreboards: BundleScoreboards, now: bool = False) -> None:
        """Save the state when that is due, or now. Raises OSError."""
        state = self._extras.state
        if state is not None and (now or state.is_due()):
            state.save(self._topic_id, State(scoreboards, self._follower.positions))
