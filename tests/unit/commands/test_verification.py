"""Which dead letters `thalweg verify` believes, because the record alone does not tell that it was rejected."""

import pytest

from encoder.data.contract.judge import DROPPABLE_FIELDS
from streams.commands.verify.verification import was_set_aside
from streams.contracts.dead_letters import FIELD_HEADER, TOPIC_HEADER


@pytest.mark.parametrize(
    ("field", "topic", "is_set_aside"),
    [
        ("partition", "events", True),
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
    assert was_set_aside({FIELD_HEADER: field, TOPIC_HEADER: topic}, "events") == is_set_aside
