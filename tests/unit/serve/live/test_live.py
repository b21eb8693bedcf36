"""The stream of the page without a Kafka: how many pages may be open."""

import asyncio

import pytest

from streams.config.settings import Settings
from streams.serve.http.problems import ProblemError
from streams.serve.live import live
from streams.serve.live.live import MOST_PAGES, Live
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
