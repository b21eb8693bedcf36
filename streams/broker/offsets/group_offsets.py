"""Consumer groups from outside: the number of their members, and commits for a group that has none."""

import contextlib
import uuid
from collections.abc import Mapping
from typing import Any

from kafka import TopicPartition
from kafka.errors import GroupIdNotFoundError, KafkaError, NoError, UnknownMemberIdError
from kafka.structs import OffsetAndMetadata

from streams.broker.error_codes import describe
from streams.broker.topics import broker_admin
from streams.config.errors import BrokerError, SettingsError
from streams.config.settings import Settings


class GroupOffsets:
    """The offsets of one group in one incarnation of a topic. One connection serves all commits."""

    def __init__(self, settings: Settings, group_id: str, topic: str, topic_id: uuid.UUID) -> None:
        self._settings = settings
        self._group_id = group_id
        self._topic = topic
        self._connection = contextlib.ExitStack()
        self._admin: Any = None
        self._metadata = str(topic_id)  # as a worker writes it: `describe_topic` in `streams.broker.topics`

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit the next offset to read of each partition. Blocks.

        Raises SettingsError where the group has a member, and BrokerError.
        """
        commits: Any = {
            TopicPartition(self._topic, partition): OffsetAndMetadata(offset, self._metadata, -1)
            for partition, offset in offsets.items()
        }
        try:
            if self._admin is None:
                self._admin = self._connection.enter_context(broker_admin(self._settings))
            answers = self._admin.alter_group_offsets(self._group_id, commits)
        except KafkaError as failure:
            self.close()
            why = describe(failure)
            raise BrokerError(f"offsets of group {self._group_id} were not committed: {why}") from failure
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

    def close(self) -> None:
        self._admin = None
        self._connection.close()


def count_members(settings: Settings, group_id: str) -> int:
    """The number of running members of a consumer group. Raises BrokerError."""
    with broker_admin(settings) as admin:
        try:
            return len(admin.describe_groups([group_id])[group_id].get("members") or ())
        except GroupIdNotFoundError:
            return 0
