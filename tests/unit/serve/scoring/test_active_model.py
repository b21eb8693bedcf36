"""The server follows the active bundle, whatever happens to the folder of one, and has the models of all bundles."""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.config.errors import StoreError
from streams.serve.http.problems import ProblemError
from streams.serve.scoring import active_model
from streams.serve.scoring.active_model import ActiveModel

OLD, NEW = "gru-old", "gru-new"
WITHIN_S = 5.0


class Keyspace:
    """The active bundle, and what happens where a model is made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.active_id: str | None = OLD
        self.errors: dict[str, Exception] = {}
        self.tries: Counter[str] = Counter()
        self.looks = 0
        self.may_end = threading.Event()
        self.may_end.set()
        registry = SimpleNamespace(active=self._active)
        monkeypatch.setattr(active_model, "Registry", lambda *_: registry)
        monkeypatch.setattr(active_model, "Model", self._model)
        for name in ("LOOK_EVERY_S", "MAKE_AGAIN_S"):
            monkeypatch.setattr(active_model, name, 0.01)

    async def _active(self) -> str | None:
        self.looks += 1
        return self.active_id

    def _model(self, bundle: Any, *_: object) -> SimpleNamespace:
        self.tries[bundle.bundle_id] += 1
        if bundle.bundle_id in self.errors:
            raise self.errors[bundle.bundle_id]
        if bundle.bundle_id == NEW:
            assert self.may_end.wait(WITHIN_S)
        return SimpleNamespace(bundle_id=bundle.bundle_id)


@pytest.fixture
def keyspace(monkeypatch: pytest.MonkeyPatch) -> Keyspace:
    return Keyspace(monkeypatch)


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def followed(play: Callable[[ActiveModel], Any]) -> None:
    """Follow while `play` runs. The following must not have ended by then."""
    names = (OLD, NEW)
    bundles: Any = [SimpleNamespace(bundle_id=n, path=Path(n), manifest=SimpleNamespace(items=5)) for n in names]
    session: Any = None
    with ThreadPoolExecutor(1) as threads:
        active = ActiveModel(bundles, session, "k", threads)
        following = asyncio.create_task(active.follow())
        try:
            await play(active)
            assert not following.done()
        finally:
            following.cancel()
            await asyncio.wait([following])


def answers_from(active: ActiveModel) -> str | None:
    try:
        return active.current().bundle_id
    except ProblemError:
        return None


@pytest.mark.parametrize("error", [FileNotFoundError("moved"), ValueError("a damaged graph")])
def test_a_bundle_that_cannot_be_loaded_leaves_the_former_one_and_is_tried_again(
    keyspace: Keyspace, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    keyspace.errors[NEW] = error

    async def play(active: ActiveModel) -> None:
        await until(lambda: answers_from(active) == OLD)
        keyspace.active_id, before = NEW, keyspace.tries[NEW]
        await until(lambda: keyspace.tries[NEW] > before + 3)
        assert answers_from(active) == OLD
        del keyspace.errors[NEW]
        await until(lambda: answers_from(active) == NEW)

    with caplog.at_level(logging.ERROR):
        asyncio.run(followed(play))
    assert [one.getMessage() for one in caplog.records] == [
        f"bundle {NEW} cannot be loaded from {NEW}, and is tried again"
    ]


def test_the_first_bundle_may_fail_as_well(keyspace: Keyspace) -> None:
    keyspace.errors[OLD] = FileNotFoundError("moved")

    async def play(active: ActiveModel) -> None:
        await until(lambda: keyspace.tries[OLD] > 2)
        with pytest.raises(ProblemError, match=f"the active bundle {OLD} cannot be loaded"):
            active.current()
        del keyspace.errors[OLD]
        await until(lambda: answers_from(active) == OLD)

    asyncio.run(followed(play))


def test_the_models_of_all_given_bundles_are_made_before_a_switch(keyspace: Keyspace) -> None:
    keyspace.errors[NEW] = StoreError("there is no table yet")

    async def play(active: ActiveModel) -> None:
        await until(lambda: answers_from(active) == OLD and keyspace.tries[NEW] > 2)
        del keyspace.errors[NEW]
        made = keyspace.tries[NEW] + 1
        await until(lambda: keyspace.tries[NEW] == made)
        await asyncio.sleep(0.05)
        keyspace.active_id = NEW
        await until(lambda: answers_from(active) == NEW)
        assert (keyspace.tries[OLD], keyspace.tries[NEW]) == (1, made)

    asyncio.run(followed(play))


def test_the_looks_go_on_while_the_model_of_another_bundle_is_made(keyspace: Keyspace) -> None:
    keyspace.may_end.clear()

    async def play(active: ActiveModel) -> None:
        await until(lambda: answers_from(active) == OLD and keyspace.tries[NEW] == 1)
        before = keyspace.looks
        try:
            await until(lambda: keyspace.looks > before + 3)
        finally:
            keyspace.may_end.set()

    asyncio.run(followed(play))
