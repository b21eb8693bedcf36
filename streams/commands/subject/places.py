"""The partitions in which a user's records can stand."""

from collections.abc import Collection, Sequence

from streams.broker.partitioners.choice import choose_partitioner
from streams.broker.partitioners.rules import PARTITIONERS
from streams.config.settings import Settings
from streams.engine.epochs import Epoch
from streams.store.bundles.held_rows import HeldRow


def partitions_of(
    settings: Settings, key: bytes, rows: Collection[HeldRow], epochs: Sequence[Epoch], partitions: int
) -> set[int] | None:
    """The partitions of the behaviour topic, and of the outputs, that hold the user's records. None: any may.

    The rule of the producers puts a user into one partition, and into another one after partitions were added. Rows
    name the partitions in which a worker has read the user. Raises BrokerError, SettingsError.
    """
    if settings.mapping is not None:  # The key of a user's records need not be the user.
        return None
    rule = PARTITIONERS[choose_partitioner(settings, settings.behavior_topic)]
    counts = {partitions, *(epoch.partitions for epoch in epochs)}
    return {rule(key, count) for count in counts} | {row.position.partition for row in rows if row.position is not None}
