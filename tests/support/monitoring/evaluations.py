"""Evaluation events as a worker publishes them."""

import msgspec

from streams.contracts.evaluation_events import EvaluationEvent


def evaluation(
    offset: int, item: str = "x", rank: int | None = 1, steps: int = 1, **changes: object
) -> EvaluationEvent:
    """Return an evaluation event of user u at this offset of partition 0, with the given fields changed."""
    event = EvaluationEvent(
        id=f"events-0-0-{offset}",
        user_id="u",
        bundle_id="gru-1",
        item_id=item,
        action="view",
        previous_item_id=None,
        rank=rank,
        reciprocal_rank=1 / rank if rank else 0.0,
        catalogue=100,
        steps=steps,
        state_age_ms=1,
        event_time_ms=offset,
    )
    return msgspec.structs.replace(event, **changes)
