"""The features of the local Kafka: what the broker offers to clients, each at a level that the cluster has agreed on.

A storage that Thalweg formats has only a metadata version. The features of clients then stand at level 0: such a broker
refuses a consumer with `group.protocol=consumer` (KIP-848), for example. So a start raises the features by a request to
the running broker (docs/decisions.md#features-of-the-local-kafka).
"""

from collections.abc import Mapping
from typing import Any

from kafka.errors import KafkaError

from streams.broker.error_codes import describe
from streams.local.errors import LocalServiceError

# How controllers vote. Level 1 is for controllers that join and leave, and the only controller here is configured.
OF_CONTROLLERS = "kraft.version"
NODE_STARTS = ("has not registered", "UnknownBrokerId")  # in refusals of the controller while another node starts


def levels_to_raise(features: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """By feature below its newest level, the newest level that the release of the broker has for production.

    features: as `KafkaAdminClient.describe_features` of kafka-python tells them. A feature at level 0 has no
        `finalized` levels.
    """
    newest = {name: levels["supported"][1] for name, levels in features.items() if name != OF_CONTROLLERS}
    return {name: level for name, level in newest.items() if features[name].get("finalized", (0, 0))[1] < level}


def has_newest_features(admin: Any) -> bool:
    """True when every feature has its newest level. Otherwise, raise the features, which takes effect soon after.

    The features are raised when all nodes have started.

    admin: a connected KafkaAdminClient. The login needs the right to alter the cluster where a level is raised.
    Raises KafkaError where the controller does not answer, and LocalServiceError where the controller refuses.
    """
    levels = levels_to_raise(admin.describe_features())
    if not levels:
        return True
    try:
        admin.update_features(levels)
    except KafkaError as error:
        if error.retriable:
            raise
        if any(text in repr(error) for text in NODE_STARTS):
            return False
        raise LocalServiceError(f"Kafka refuses to raise its features to {levels}: {describe(error)}") from error
    return False
