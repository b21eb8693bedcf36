"""The stream of the page without a Kafka: how many pages may be open, and what a switch of bundles leaves."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from streams.config.settings import Settings
from streams.serve.http.problems import ProblemError
from streams.serve.live import freshness, live
from streams.serve.live.freshness import Freshness
from streams.serve.live.history import Status
from streams.serve.live.live import MOST_PAGES, Live
from tests.support.monitoring.evaluations import evaluation
from tests.tools.serving import no_bundle


def test_pages_count_from_the_request_on_so_that_a_burst_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BEGINS_WITHIN_S", 0.05)

    async def main() -> None:
        served = Live(Settings(broker="127.0.0.1:1"), no_bundle, lambda _: Settings().updates_topic)
        monkeypatch.setattr(served, "follow", lambda: None)
        pages = [served.open("") for _ in range(MOST_PAGES)]
        with pytest.raises(ProblemError, match="32 pages are open") as caught:
            served.open("")
        assert caught.value.kind == "too-many-pages"
        assert (await anext(pages[0])).startswith(b"id: ")
        with pytest.raises(ProblemError):
            served.open("")
        await asyncio.sleep(0.2)  # the other clients went away before their first message
        for _ in range(MOST_PAGES - 1):
            served.open("")
        with pytest.raises(ProblemError):
            served.open("")

    asyncio.run(main())


def test_a_status_after_a_switch_has_nothing_of_the_former_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STATUS_EVERY_S", 0.01)
    watch = SimpleNamespace(describe=lambda group: None, close=lambda: None)
    monkeypatch.setattr(live, "TopicWatch", lambda *_: watch)
    model: Any = SimpleNamespace(bundle_id="gru-1")
    found: list[Status] = []

    async def statuses(served: Live, count: int) -> Status:
        del found[:]
        reporting = asyncio.create_task(served._report())
        while len(found) < count:
            assert not reporting.done()
            await asyncio.sleep(0.01)
        reporting.cancel()
        await asyncio.wait([reporting])
        return found[-1]

    async def main() -> None:
        served = Live(Settings(broker="127.0.0.1:1"), lambda: model, lambda _: Settings().updates_topic)
        monkeypatch.setattr(served, "_publish", lambda kind, data, later=None: found.append(data))
        seen: Any = SimpleNamespace(bundle_id="gru-1", applied=5.0, last=[evaluation(1)])
        served.seen = seen
        served._freshness._samples.append((time.monotonic(), 20.0))
        before = await statuses(served, 2)
        assert (before.bundle_id, len(before.last), before.freshness_samples, before.applied_per_s) == (
            "gru-1",
            1,
            1,
            0,
        )
        model.bundle_id = "gru-2"
        after = await statuses(served, 2)
        assert (after.bundle_id, after.last, after.freshness_samples) == ("gru-2", [], 0)
        assert (after.freshness_p50_ms, after.freshness_p99_ms, after.applied_per_s) == (None, None, None)

    asyncio.run(main())


def test_freshness_forgets_the_updates_of_the_former_bundle_also_one_that_is_being_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(freshness, "SAMPLE_EVERY_S", 0.01)
    settings = Settings()

    async def main() -> None:
        measured, begun, goes_on = Freshness(settings), asyncio.Event(), asyncio.Event()

        async def timestamp_ms(*_: object) -> int:
            begun.set()
            await goes_on.wait()
            return 1_000

        monkeypatch.setattr(freshness, "_timestamp_ms", timestamp_ms)
        consumer: Any = None
        measuring = asyncio.create_task(measured._measure(consumer))
        update: Any = SimpleNamespace(source=f"{settings.behavior_topic}-0-0-7")
        measured.offer([(SimpleNamespace(timestamp=1_030), update)])
        await begun.wait()
        measured.forget()
        goes_on.set()
        await asyncio.sleep(0.1)
        assert measured.quantiles() == (None, None, 0)
        measured.offer([(SimpleNamespace(timestamp=1_030), update)])
        await asyncio.sleep(0.1)
        assert measured.quantiles() == (30.0, 30.0, 1)
        measured.forget()
        assert measured.quantiles() == (None, None, 0)
        measuring.cancel()
        await asyncio.wait([measuring])

    asyncio.run(main())
