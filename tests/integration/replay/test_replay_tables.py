"""`thalweg replay` of a CSV file with custom column names, on a real Kafka."""

import asyncio
import uuid
from pathlib import Path

import pytest

from encoder.data.events import BehaviorEvent
from streams import cli
from streams.broker.topic_reader import read_topic
from streams.config.settings import Settings
from streams.engine.codec import Outcome, Rejected, decode
from streams.local import LocalServices


def test_a_table_with_custom_columns_is_sent_as_events(
    services: LocalServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(broker=services.bootstrap, behavior_topic=f"{uuid.uuid4().hex[:8]}.behavior")
    monkeypatch.setenv("THALWEG_BROKER", settings.broker)
    monkeypatch.setenv("THALWEG_BEHAVIOR_TOPIC", settings.behavior_topic)
    log = tmp_path / "events.csv"
    log.write_text("who,what,at\n" + "".join(f"u{n % 7},i{n},{n + 0.5}\n" for n in range(50)) + "u1,i1,soon\n")
    columns = "user_id=who,item_id=what,event_time_ms=at[s],action:=see"
    assert cli.main(["replay", str(log), "--columns", columns, "--rest", "0.5"]) == 0

    async def read() -> list[tuple[bytes | None, Outcome]]:
        return [
            (record.value, decode(record.key, record.value, record.timestamp))
            async for records in read_topic(settings, settings.behavior_topic)
            for record in records
        ]

    outcomes = asyncio.run(read())
    assert [value for value, outcome in outcomes if isinstance(outcome, Rejected)] == [b"u1,i1,soon"]
    events = [outcome for _, outcome in outcomes if isinstance(outcome, BehaviorEvent)]
    assert sorted((event.event_time_ms, event.item_id) for event in events) == [
        (n * 1000 + 500, f"i{n}") for n in range(25, 50)
    ]
