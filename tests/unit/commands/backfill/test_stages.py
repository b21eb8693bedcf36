"""What a backfill asks before a commit."""

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
        _bundle_id="gru-1",
        _store=SimpleNamespace(registry=SimpleNamespace(check_serves=check_serves)),
        _offsets=SimpleNamespace(commit=committed.append),
        _position={},
    )
    with pytest.raises(SettingsError, match="bundle gru-1 was retired"):
        asyncio.run(_Run._commit(run, {0: 5}))
    assert (committed, run._position) == ([], {})
