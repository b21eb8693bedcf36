"""Commits the offsets of a consumer group that has no members."""

import uuid
from collections.abc import Mapping
from typing import Any

from kafka import TopicPartition
from kafka.errors import NoError, UnknownMemberIdError
from kafka.structs import OffsetAndMetadata

from streams.broker.topics import broker_admin
from streams.config.errors import BrokerError, SettingsError
from streams.config.settings import Settings


class GroupOffsets:
    """The offsets of one group in one incarnation of a topic."""

    def __init__(self, settings: Settings, group_id: str, topic: str, topic_id: uuid.UUID) -> None:
        self._settings = settings
        self._group_id = group_id
        self._topic = topic
        self._metadata = str(topic_id)  # as a worker writes it: `describe_topic` in `streams.broker.topics`

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit the next offset to read of each partition. Blocks.

        Raises SettingsError where the group has a member, and BrokerError.
        """
        commits: Any = {
            TopicPartition(self._topic, partition): OffsetAndMetadata(offset, self._metadata, -1)
            for partition, offset in offsets.items()
        }
        with broker_admin(self._settings) as admin:
            answers = admin.alter_group_offsets(self._group_id, commits)
        for tp, error in answers.items():
            if error is UnknownMemberIdError:
                raise SettingsError(
                    f"a worker of group {self._group_id} has started, so the offsets were not committed: stop all "
                    "workers of the group until the backfill has ended"
                )
            if error is not NoError:
                raise BrokerError(
                    f"offset {offsets[tp.partition]} of {self._topic} partition {tp.partition} was not committed: "
                    f"{error.__name__}"
                )
