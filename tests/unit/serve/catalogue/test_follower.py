"""The follower without a Kafka: the server starts, one line of the log says why there is no catalogue."""

import asyncio

import pytest

from streams.config.settings import Settings
from streams.serve.catalogue import follower
from streams.serve.catalogue.follower import CatalogueFollower
from streams.serve.catalogue.progress import Progress


def test_without_a_kafka_the_wait_ends_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "RETRY_S", 0.01)
    progress = Progress()

    async def main() -> None:
        followed = CatalogueFollower(Settings(broker="127.0.0.1:1"), progress)
        task = asyncio.create_task(followed.follow())
        await followed.wait_for_first_reading(20)
        assert progress.state == "unreachable"
        await asyncio.sleep(0.3)  # several attempts
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("streams")]
    assert len(lines) == 1
    assert "no broker answers at 127.0.0.1:1" in lines[0]
    assert not progress.has_loaded
