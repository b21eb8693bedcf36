"""An answered request of the Cassandra driver is freed at once, with its batch of rows, without garbage collection."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from unittest.mock import MagicMock

import pytest
from cassandra.cluster import ResponseFuture

from streams.store.session import driver_answer


@pytest.fixture
def without_garbage_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_garbage_collection")
@pytest.mark.parametrize("answered", ["before", "after"])
def test_an_answered_request_is_freed_at_once(answered: str) -> None:
    async def run() -> weakref.ref[ResponseFuture]:
        response = ResponseFuture(
            MagicMock(), None, None, None, load_balancer=MagicMock(), row_factory=lambda *columns: columns
        )
        if answered == "before":
            response._set_final_result([1])
        answer = driver_answer(response)
        if answered == "after":
            response._set_final_result([1])
        assert await answer == [1]
        return weakref.ref(response)

    assert asyncio.run(run())() is None
