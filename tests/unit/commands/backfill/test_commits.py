"""What a backfill asks and enters before a commit."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams.commands.backfill.stages import _Run
from streams.config.errors import SettingsError


def test_a_backfill_of_a_bundle_that_is_being_retired_commits_nothing() -> None:
    committed: list[Any] = []

    def check_serves(bundle_id: str) -> None:
        raise SettingsError(f"bundle {bundle_id} was retired")

    run: Any = SimpleNamespace(
        _bundle=SimpleNamespace(bundle_id="gru-1"),
        _store=SimpleNamespace(registry=SimpleNamespace(check_serves=check_serves)),
        _offsets=SimpleNamespace(commit=committed.append),
        _position={},
    )
    with pytest.raises(SettingsError, match="bundle gru-1 was retired"):
        asyncio.run(_Run._commit(run, {0: 5}))
    assert (committed, run._position) == ([], {})


def test_the_first_commit_of_a_partition_enters_that_its_history_was_backfilled() -> None:
    done: list[Any] = []

    async def drop_passed(_: Any) -> None: ...

    registry = SimpleNamespace(check_serves=lambda _: None, enter_backfilled=lambda *given: done.append(given))
    run: Any = SimpleNamespace(
        _bundle=SimpleNamespace(bundle_id="gru-1"),
        _store=SimpleNamespace(registry=registry, erasures=SimpleNamespace(drop_passed=drop_passed)),
        _offsets=SimpleNamespace(commit=done.append),
        _position={0: 5},  # of an earlier run
    )
    for partition, end in ((0, 7), (1, -4), (1, 3), (1, 9)):  # Kafka has no offset for an event of a log.
        asyncio.run(_Run._commit(run, {partition: end}))
    assert done == [{0: 7}, ("gru-1", 1), {1: 3}, {1: 9}]
