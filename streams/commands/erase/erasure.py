"""Sends an erasure where the user's events are, and looks at what the bundles still hold."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from streams.broker.clients import open_producer
from streams.broker.offsets.group_offsets import count_members
from streams.broker.partitioners.choice import choose_partitioner
from streams.broker.partitioners.rules import PARTITIONERS
from streams.broker.topics import Topic, describe_topic
from streams.commands.erase.proof import Bundle, Incarnation, Verdict, ends_behind, judge, no_bundle
from streams.config.errors import InputError, SettingsError
from streams.config.settings import Settings, setting_label
from streams.contracts.behavior_events import ERASE_HEADER
from streams.contracts.privacy.pseudonyms import Pseudonyms, is_pseudonym
from streams.engine.codec import Rejected, decode
from streams.store.bundles.held_rows import HeldRow, HeldRows
from streams.store.session import Session

LOOK_EVERY_S = 0.5


class Sent(NamedTuple):
    """An erasure that Kafka has confirmed."""

    at: dict[int, int]  # offset of the erasure, by partition
    ends: dict[int, int]  # by partition, the offset that a group must have passed, see `ends_behind`
    rows: Sequence[HeldRow]  # the user's rows before
    waiting: str  # "WHAT puts them into": what decides the partition of a user without a row


class Erasure:
    """The erasure of one user."""

    def __init__(
        self, settings: Settings, session: Session, user_id: str, pseudonyms: Pseudonyms | None = None
    ) -> None:
        """user_id: the plain id. Raises InputError for a text that no user can have as an id, and for a pseudonym."""
        self._settings = settings
        self._fingerprint = None if pseudonyms is None else pseudonyms.fingerprint
        self._key = user_id.encode("utf-8", "surrogateescape")  # the bytes of the command line as they were
        outcome = decode(self._key, None, 0)
        if isinstance(outcome, Rejected):
            raise InputError(f"{user_id!r} cannot be a user_id: {outcome.reason}")
        if pseudonyms is not None and is_pseudonym(user_id):
            raise InputError(f"{user_id} is a pseudonym, and producers write plain ids: give the id of the user")
        self._stored_id = user_id if pseudonyms is None else pseudonyms.of_bytes(self._key)
        self._held = HeldRows(session, settings.keyspace)

    def send(self) -> Sent:
        """Send the erasure to each partition in which the user's events are.

        Raises BrokerError, StoreError. Raises SettingsError, and sends nothing, where the keyspace has no bundle, which
        could prove the erasure, or belongs to another topic or another key of pseudonyms, and where the setting
        `partitioner` names another rule than the one that the topic's records follow.
        """
        name = self._settings.behavior_topic
        self._held.check_topic(name)
        self._held.check_key(self._fingerprint)
        topic = describe_topic(self._settings, name)
        partitioner = choose_partitioner(self._settings, name)
        rows = self._held.rows(self._stored_id)
        if not rows and not self._held.bundle_ids():
            raise SettingsError(
                f"{no_bundle(self._settings.keyspace)}, so nothing was sent: set {setting_label('keyspace')} "
                "to the keyspace of the workers, or run a worker first"
            )
        by_rule, waiting = [PARTITIONERS[partitioner](self._key, topic.partitions)], f"{partitioner} puts them into"
        if self._settings.mapping is not None:  # The key of a user's records need not be the user.
            by_rule, waiting = list(range(topic.partitions)), "any key may put them into"
        partitions = self._incarnation(topic).partitions_of(rows, topic.partitions, by_rule)
        at = asyncio.run(self._send_to(partitions))
        ends = ends_behind(describe_topic(self._settings, name).stable_offsets, at)
        return Sent(at, ends, rows, waiting)

    def wait(self, sent: Sent, timeout_s: float) -> Verdict:
        """Look until the erasure is proven or cannot be proven any more, at most for this time.

        Raises BrokerError, StoreError.
        """
        give_up_at_s = time.monotonic() + timeout_s
        while True:
            verdict = self._look(sent)
            if verdict.is_proven or verdict.is_final or time.monotonic() >= give_up_at_s:
                return verdict
            time.sleep(LOOK_EVERY_S)

    def _look(self, sent: Sent) -> Verdict:
        name, rows = self._settings.behavior_topic, self._held.rows(self._stored_id)
        bundle_ids = {*self._held.bundle_ids(), *(row.bundle_id for row in rows)}
        groups = {bundle_id: self._settings.consumer_group_id(bundle_id) for bundle_id in bundle_ids}
        topics = {bundle_id: describe_topic(self._settings, name, group) for bundle_id, group in groups.items()}
        workers = {group: count_members(self._settings, group) for group in groups.values()}
        incarnation = self._incarnation(describe_topic(self._settings, name))
        # The rows are read after the commits. A row that a worker wrote before its commit is then seen.
        held = {
            row.bundle_id for row in self._held.rows(self._stored_id) if not incarnation.is_after(row.position, sent.at)
        }
        retired = self._held.retired_ids()
        bundles = [
            Bundle(one, group, workers[group], _has_passed(topics[one], sent.ends), one in held, one in retired)
            for one, group in groups.items()
        ]
        new = [Bundle(one, self._settings.consumer_group_id(one), 0, False, True) for one in held - bundle_ids]
        return judge([*bundles, *new], self._settings.keyspace)

    def _incarnation(self, topic: Topic) -> Incarnation:
        return Incarnation.of(self._held.epochs(topic.name), topic.topic_id)

    async def _send_to(self, partitions: Sequence[int]) -> dict[int, int]:
        name = self._settings.behavior_topic
        async with open_producer(self._settings, f"topic {name} did not confirm the erasure") as producer:
            headers = [(ERASE_HEADER, self._key)]
            answers = [
                await producer.send_and_wait(name, key=self._key, partition=p, headers=headers) for p in partitions
            ]
        return {answer.partition: answer.offset for answer in answers}


def _has_passed(topic: Topic, ends: Mapping[int, int]) -> bool:
    return all(topic.passed.get(partition, 0) >= end for partition, end in ends.items())
