"""What is waited for has an end, and the parts that wait leave the event loop to others."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from streams.config.settings import Settings
from streams.engine.codec import ContractDecoder
from streams.serve import following
from streams.serve.client import Client
from streams.serve.explanations.history import HistoryError, HistoryReader
from streams.serve.http.problems import ProblemError
from streams.serve.http.threads import called
from streams.serve.lookalikes.follower import LookalikeFollower
from streams.serve.routes import erasures
from streams.serve.routes.questions import explanations
from streams.serve.scoring import active_model
from streams.store.bundles.held_rows import HeldRows


class _SlowToEnd(LookalikeFollower):
    async def _run(self) -> None:
        await super()._run()
        await asyncio.sleep(0.5)


def test_the_end_of_the_lookalikes_leaves_the_event_loop_to_others() -> None:
    async def main() -> None:
        follower, turns = _SlowToEnd(Settings(broker="127.0.0.1:1"), [], str), 0

        async def others() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        task = asyncio.create_task(others())
        async with follower.following():
            await asyncio.sleep(0.5)  # the follower has failed, and waits until it tries again
            turns = 0
        assert turns > 5
        assert not [thread for thread in threading.enumerate() if thread.name == "lookalikes"]
        task.cancel()

    asyncio.run(main())


def test_a_consumer_that_does_not_stop_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "STOP_S", 0.05)

    async def main() -> None:
        began_s = time.monotonic()
        await following.ended(asyncio.sleep(60))
        assert time.monotonic() - began_s < 10

    asyncio.run(main())


def test_a_stop_that_raises_cancelled_error_ends_nothing_else() -> None:
    async def stop() -> None:
        raise asyncio.CancelledError

    asyncio.run(following.ended(stop()))


def test_a_call_that_takes_too_long_is_a_problem_and_an_error_of_the_call_is_not() -> None:
    is_over = threading.Event()

    def failing() -> None:
        raise ValueError("its own")

    async def main() -> None:
        with ThreadPoolExecutor(1) as threads:
            with pytest.raises(ValueError, match="its own"):
                await called(threads, failing, 5, "too late")
            with pytest.raises(ProblemError, match="too late") as caught:
                await called(threads, is_over.wait, 0.05, "too late")
            assert caught.value.status == 503
            is_over.set()

    asyncio.run(main())


def test_the_client_waits_longer_than_the_server() -> None:
    with Client("http://127.0.0.1:1") as client:
        longest_s = max(explanations.TIMEOUT_S, erasures.TIMEOUT_S, active_model.READ_TIMEOUT_S)
        assert (client._connection.timeout or 0) >= longest_s + 3


def test_a_row_that_has_gone_may_be_there_at_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeldRows, "__init__", lambda *_: None)
    monkeypatch.setattr(HeldRows, "rows", lambda *_: ())
    session: Any = None
    with pytest.raises(HistoryError, match="the row has gone") as caught:
        HistoryReader(Settings(), session, ContractDecoder()).read("u", "b", 1)
    assert caught.value.retryable
    assert not HistoryError("the topic holds no older ones").retryable


def test_what_fails_is_tried_again_and_only_news_stand_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row of failures has one line, until the following ended well or had lasted for a while."""
    monkeypatch.setattr(following, "HEALTHY_S", 0.2)
    seconds, ends = iter([0, 0, None, 0, 0.3, 0]), 0

    async def follow() -> None:
        lasts_s = next(seconds, -1)
        if lasts_s == -1:
            await asyncio.sleep(60)
        if lasts_s is not None:
            await asyncio.sleep(lasts_s)
            raise OSError(f"after {lasts_s} s")

    def ended_once() -> None:
        nonlocal ends
        ends += 1

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(following.keep_following(follow, "it fails", 0.01, ended_once), 1)

    asyncio.run(main())
    assert ends == 6
    assert [one.getMessage() for one in caplog.records] == ["it fails: after 0 s"] * 2 + ["it fails: after 0.3 s"]


def test_a_cancellation_counts_also_where_the_connection_fails_at_the_same_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        failing: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        class Consumer:
            async def start(self) -> None:
                await failing

            async def stop(self) -> None:
                pass

        async def connect() -> None:
            async with following.connected(Settings(), "t"):
                raise AssertionError("the consumer never starts")

        monkeypatch.setattr(following, "make_consumer", lambda settings: Consumer())
        task = asyncio.create_task(connect())
        await asyncio.sleep(0.01)
        failing.set_exception(OSError("no broker"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
