"""The static members of a consumer group (KIP-345): one for each process of a supervisor.

The setting `group_instance_id` names the members. Without the setting, the supervisor makes new names. The group keeps
the partitions of a static member for `session_timeout_s` after the end of its process. The next process of the member
gets the partitions back without a rebalance, and the other members go on meanwhile. A static member does not leave the
group by itself, so the supervisor takes members with new names out when it has stopped them. Members that the setting
names are expected back, so their partitions stay theirs for `session_timeout_s`.
"""

import contextlib
import socket
import uuid

from streams.config.errors import BrokerError
from streams.config.settings import Settings


def instance_ids(count: int, name: str | None) -> list[str]:
    """The ids of the members. name: their beginning; None: ids that no other supervisor has, also on this host."""
    prefix = name or f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
    return [f"{prefix}-{number}" for number in range(1, count + 1)]


def leave(settings: Settings, group: str, members: list[str]) -> None:
    """Take the members out of the group, so that their partitions move at once. Blocks.

    Where the broker does not answer or refuses, the partitions move when the sessions of the members end.
    """
    from kafka.admin import MemberToRemove  # The supervisor loads the Kafka client at its end alone.
    from kafka.errors import KafkaError

    from streams.broker.topics import broker_admin

    with contextlib.suppress(BrokerError, KafkaError), broker_admin(settings) as admin:
        admin.remove_group_members(group, [MemberToRemove(group_instance_id=member) for member in members])
