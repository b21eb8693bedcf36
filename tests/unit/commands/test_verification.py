"""Which dead letters `thalweg verify` believes, because the record alone does not tell that it was rejected."""

import pytest

from encoder.data.contract.judge import DROPPABLE_FIELDS
from streams.commands.verify.verification import was_set_aside
from streams.contracts.dead_letters import BUNDLE_HEADER, FIELD_HEADER, TOPIC_HEADER


@pytest.mark.parametrize(
    ("field", "topic", "is_set_aside"),
    [
        ("partition", "events", True),
        ("schema", "events", True),
        *((field, "events", True) for field in DROPPABLE_FIELDS),  # earlier workers rejected an event for its price
        ("price", "others", False),
        ("item_id", "events", False),
        ("value", "events", False),
        ("key", "events", False),
    ],
)
def test_a_dead_letter_tells_more_than_its_record_only_for_some_fields(
    field: str, topic: str, is_set_aside: bool
) -> None:
    assert was_set_aside({FIELD_HEADER: field, TOPIC_HEADER: topic}, "events", "gru-1") == is_set_aside


def test_a_record_that_the_worker_of_another_bundle_set_aside_may_be_applied_by_this_bundle() -> None:
    """A registry may learn a schema between the two workers."""
    headers = {FIELD_HEADER: "schema", TOPIC_HEADER: "events", BUNDLE_HEADER: "gru-1"}
    assert was_set_aside(headers, "events", "gru-1")
    assert not was_set_aside(headers, "events", "gru-2")
