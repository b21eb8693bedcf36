"""Consumer groups: how many members a group has now."""

from collections.abc import Sequence

from streams.broker.topics import broker_admin
from streams.config.settings import Settings


def member_counts(settings: Settings, group_ids: Sequence[str]) -> dict[str, int]:
    """The number of members of each group, 0 for a group that does not exist. Blocks. Raises BrokerError."""
    if not group_ids:
        return {}
    with broker_admin(settings) as admin:
        described = admin.describe_groups(list(group_ids))
    return {group_id: len(described[group_id]["members"]) for group_id in group_ids}
