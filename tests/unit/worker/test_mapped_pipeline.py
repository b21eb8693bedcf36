"""A worker with a mapping counts records by outcome, and a record with several events once."""

import logging
from pathlib import Path

import pytest

from streams.broker.decoding.record_decoder import open_decoder
from streams.config.errors import ThalwegError
from streams.config.settings import Settings
from streams.engine.codec import ContractDecoder, Skipped
from streams.health.metrics import WorkerMetrics
from tests.support.mapped.records import MAPPING, order, shop_decoder, shop_record
from tests.support.processing import Record
from tests.support.stream.running_pipeline import Running, SlowPublisher, SlowStore, run_pipeline

OUTCOMES = ("applied", "already_applied", "dead_letter", "erased", "skipped")


def test_records_are_counted_by_outcome_and_events_are_evaluated() -> None:
    store, publisher = SlowStore(), SlowPublisher()
    found: dict[str, float | None] = {}

    async def play(running: Running) -> None:
        await running.offer(
            0,
            order(0, "u", ["i1", "i2", "i3"]),
            shop_record(1, who="u", what="scrolled"),
            order(2, "u", ["i1", "i2", "i3"], id="e0"),
            shop_record(3, who="u", lines=[{"sku": "i1"}, {}]),
            shop_record(4, who="v", sku="i1"),
            Record(b"k", None, 5, 5, headers=(("thalweg-erase", b"v"),)),
        )
        await running.confirmed()
        registry = running.metrics.registry
        for outcome in OUTCOMES:
            found[outcome] = registry.get_sample_value("thalweg_records_total", {"outcome": outcome})
        found["by action"] = registry.get_sample_value("thalweg_skipped_records_total", {"reason": "action"})
        found["by filter"] = registry.get_sample_value("thalweg_skipped_records_total", {"reason": "filter"})
        found["evaluated"] = registry.get_sample_value("thalweg_evaluated_events_total")

    run_pipeline(play, store, publisher, decoder=shop_decoder())
    assert found == {
        **{"applied": 2, "already_applied": 1, "dead_letter": 1, "erased": 1, "skipped": 1},
        **{"by action": 1, "by filter": 0, "evaluated": 4},
    }
    assert {user: row.steps for user, row in store.users.items()} == {"u": 3}


def test_the_log_shows_the_first_values_of_each_reason(caplog: pytest.LogCaptureFixture) -> None:
    metrics = WorkerMetrics()
    with caplog.at_level(logging.INFO):
        for number in range(30):
            metrics.skipped_records.add([Skipped("action", f'"{number % 15}"'), Skipped("tombstone", "key is None")])
    assert len(caplog.messages) == 11, "ten actions and one tombstone"
    assert caplog.messages[0].startswith('records are skipped by the mapping, reason action: "0";')


def test_the_setting_names_the_decoder(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(MAPPING)
    assert open_decoder(Settings(mapping=str(path))).name == shop_decoder().name
    assert isinstance(open_decoder(Settings()), ContractDecoder)
    with pytest.raises(ThalwegError, match="neither a preset nor a file"):
        open_decoder(Settings(mapping=str(tmp_path / "none.toml")))
