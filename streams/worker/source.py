"""The behaviour topic as this group of workers reads it: the epoch, and the partitions not to be read yet."""

import contextlib
import logging
import threading
import time
import uuid

from export.runtime.bundle import Bundle
from streams.broker.consumer import Opened
from streams.broker.topics import Topic, TopicIdReader, describe_topic, ensure_topics
from streams.config.errors import StoreError, TopicRemadeError
from streams.config.settings import Settings
from streams.engine.epochs import Epoch, EpochView
from streams.engine.outputs import OutputEncoder
from streams.store.store import Store

logger = logging.getLogger(__name__)

NO_ROWS = (
    "group %s has committed %d records and no user has a row: the rows were lost (or every record was rejected, or "
    "every user erased); to restore the rows, stop all workers and run `thalweg verify --repair`. A new keyspace needs "
    "a group of its own: stop all workers and set THALWEG_GROUP"
)


class Source:
    """Looks at the topic, and advances the epoch. Every method blocks, and may raise BrokerError or StoreError."""

    def __init__(self, settings: Settings, bundle: Bundle, store: Store, encoder: OutputEncoder) -> None:
        """store, encoder: get the epoch of the topic in `refresh`."""
        self._settings = settings
        self._group_id = settings.consumer_group_id(bundle.bundle_id)
        self._bundle_id = bundle.bundle_id
        self._store = store
        self._encoder = encoder
        self._partitions = 0
        self._grown_at_s: float | None = None
        self._held = 0
        self._has_looked = False
        self.topic_id: uuid.UUID | None = None  # of the incarnation that is read
        self._topic_ids = TopicIdReader(settings, settings.behavior_topic)

    def refresh(self) -> Opened:
        """What to read from now on. The store and the encoder use the epoch of the topic from now on.

        Raises TopicRemadeError where an earlier call has found another topic. A topic that is made again with another
        number of partitions makes the group rebalance, so this call may come before `check_incarnation`. Raises
        SettingsError where the bundle is being retired.
        """
        self._store.registry.check_serves(self._bundle_id)
        topic, view = self._view()
        self._confirm(topic.topic_id)
        self.topic_id = topic.topic_id
        self._held = len(view.held)
        if not view.held:
            self._grown_at_s = None
        elif self._grown_at_s is None:
            self._grown_at_s = time.monotonic()
            logger.warning(
                "topic %s has %d partitions now: %d are held until the others are read up to where they end",
                topic.name,
                topic.partitions,
                len(view.held),
            )
        if topic.partitions != self._partitions:
            ensure_topics(self._settings)  # Output topics have as many partitions as the behaviour topic.
            self._partitions = topic.partitions
        self._store.users.use_epoch(view)
        self._encoder.use_epoch(view)
        # Beside the start: the read passes over the table, which takes long while a node is dead.
        threading.Thread(target=self._look_for_lost_rows, args=[topic], name="lost-rows", daemon=True).start()
        return Opened(topic.topic_id, topic.committed, view.held, view.comparable, topic.start_offsets, view.began_at)

    def _look_for_lost_rows(self, topic: Topic) -> None:
        """Log an error where the group has committed records and the bundle has no row. Looks once."""
        records = sum(offset - topic.start_offsets[p] for p, offset in topic.committed.items())
        if records <= 0 or self._has_looked or self._settings.user_ttl_days is not None:  # All rows may have expired.
            return
        self._has_looked = True
        with contextlib.suppress(StoreError):  # The scan is too slow where other bundles have very many rows.
            if not self._store.users.has_rows():
                logger.error(NO_ROWS, self._group_id, records)

    def check_incarnation(self) -> None:
        """Raise TopicRemadeError where the topic was deleted and made again since the last `refresh`.

        Offsets name other records in the topic that was made again, so nothing may be read on. Raises BrokerError where
        there is no such topic now.
        """
        self._confirm(self._topic_ids.read())

    def _confirm(self, topic_id: uuid.UUID) -> None:
        if topic_id != self.topic_id and self.topic_id is not None:
            raise TopicRemadeError(
                f"topic {self._settings.behavior_topic} was deleted and made again while this worker read the topic; "
                "start the worker again, and the worker reads the new topic from its beginning"
            )

    def close(self) -> None:
        """Close the connection of `check_incarnation`."""
        self._topic_ids.close()

    def hand_over(self) -> bool:
        """Advance the handover of held partitions. True when the group may read some of them, after a rebalance."""
        topic, view = self._view()
        if len(view.held) < self._held:
            return True
        grown_at_s = self._grown_at_s or time.monotonic()
        if not view.barrier and time.monotonic() - grown_at_s >= self._settings.partition_handover_s:
            old = range(topic.partitions - len(view.held))
            barrier = tuple(topic.end_offsets[partition] for partition in old)
            number = max(epoch.number for epoch in self._store.registry.epochs(topic.name)) + 1
            self._store.registry.begin_epoch(topic.name, Epoch(number, topic.topic_id, topic.partitions, barrier))
        return False

    def _view(self) -> tuple[Topic, EpochView]:
        topic = describe_topic(self._settings, self._settings.behavior_topic, self._group_id)
        return topic, self._store.registry.view(topic.name, topic.topic_id, topic.partitions, topic.passed)
