"""The import of this package registers all scenarios."""

from tests.referee.scenarios import (
    bundles_in_turn,
    control,
    erase_command,
    erasures,
    evaluation_ids,
    mapped_orders,
    topic_made_again,
    transactions,
    verify_command,
)

__all__ = [
    "bundles_in_turn",
    "control",
    "erase_command",
    "erasures",
    "evaluation_ids",
    "mapped_orders",
    "topic_made_again",
    "transactions",
    "verify_command",
]
