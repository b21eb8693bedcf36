"""Which dead letters `thalweg verify` believes, because the record alone does not tell that it was rejected."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from encoder.data.contract.judge import DROPPABLE_FIELDS
from streams.commands.verify import verification
from streams.commands.verify.verification import was_set_aside
from streams.config.settings import Settings
from streams.contracts.dead_letters import (
    BUNDLE_HEADER,
    EPOCH_HEADER,
    FIELD_HEADER,
    OFFSET_HEADER,
    PARTITION_HEADER,
    TOPIC_HEADER,
)


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


def test_a_letter_that_names_no_position_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings()
    letter = {FIELD_HEADER: b"schema", TOPIC_HEADER: settings.behavior_topic.encode()}
    positions: list[dict[str, bytes | None]] = [
        {PARTITION_HEADER: b"1", OFFSET_HEADER: b"2"},  # an early letter without an epoch
        {},
        {PARTITION_HEADER: b"1"},
        {PARTITION_HEADER: None, OFFSET_HEADER: b"3"},
        {PARTITION_HEADER: b"1", OFFSET_HEADER: b"x"},
        {PARTITION_HEADER: b"1", OFFSET_HEADER: b"4", EPOCH_HEADER: b"first"},
        {PARTITION_HEADER: b"1", OFFSET_HEADER: b"5", EPOCH_HEADER: b"1"},  # of another incarnation
        {PARTITION_HEADER: b"1", OFFSET_HEADER: b"6", EPOCH_HEADER: b"0", BUNDLE_HEADER: b"gru-2"},
        {PARTITION_HEADER: b"1", OFFSET_HEADER: b"7", EPOCH_HEADER: b"0", BUNDLE_HEADER: b"gru-1"},
    ]

    async def read(*_: Any) -> AsyncIterator[list[Any]]:
        yield [SimpleNamespace(headers=list((letter | position).items())) for position in positions]

    monkeypatch.setattr(verification, "topic_exists", lambda *_: True)
    monkeypatch.setattr(verification, "read_topic", read)
    found = asyncio.run(verification._set_aside_records(settings, "gru-1", 0))
    assert found == {(1, 2), (1, 7)}
